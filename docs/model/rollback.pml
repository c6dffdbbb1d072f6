/* rollback.pml -- a site that is set back to an older state of its disk, while the writer changes.
 *
 * W holds epoch 1 and writes points 1 and 2; T wants epoch 2. Site 0 is set back once, to any state it was in: it forgets points, receipts and its
 * vote, and does not know it. Whoever meets it shows the last promise (receipt or vote) that he holds of it, his mark: one that the site does not
 * know makes it read-only. It catches up from other sites, and is let in again once those are enough.
 *
 * Flags that switch a rule off: NO_CONFIRM (a site serves at once after a start, before it asked the others), NO_RECHECK (receipts and votes that came
 * before a site was set back still count), BARE_READMIT. With NO_CONFIRM, FIRST_MEETS makes the holder of the newest mark
 * the first to meet the site; then NO_MARK, COUNTER_ONLY, VOTE_UNCOUNTED switch off one thing each. */
#include "sites.pml"

#define W 0
#define T 1

byte holds[3];          /* set of points: 1 and 2 of W, 3 of T */
bool fenced[3];         /* has promised epoch 2 */
byte counted[4];        /* by point: sites */
bool acked[4];
byte voters;
byte best;              /* highest head among the voters: 0, 1, 2 */
bool opened;

/* Site 0 numbers its promises. */
byte number;            /* the last one it knows of */
byte kept_number, kept_holds;
bool kept_fenced, kept; /* the state that it is set back to */
byte mark[2];           /* number of the last promise that W, T holds of it */
byte receipt[4];        /* number of its receipt for a point */
byte ballot;            /* number of its vote for T */
byte newest;            /* 1 + who was given the newest */
bool rolled;            /* was set back; numbers over kept_number until then are forgotten */
bool behind;            /* knows it, or has just started: reads only */
bool unmet;             /* FIRST_MEETS: the holder of the newest mark has not come yet */
byte asked;             /* others from which it caught up since */
byte forgot;            /* the number up to which promises were forgotten */
byte s, p, k, h;
#define OTHER_MAX 2
byte others;            /* promises to other domains */

#define HEAD(s) (IN(2, holds[s]) -> 2 : IN(1, holds[s]))
/* A promise that site 0 made before it was set back, and does not know any more. Numbers that it gives later are marked: see GIVEN. */
#define LATER 64
#define FORGOTTEN(n) (rolled && (n) < LATER && (n) > kept_number)
#define GIVEN (rolled -> number + LATER : number)

/* The others that it asked had a part in whatever it may have promised: the sites not asked, itself among them, can neither acknowledge nor elect. */
#define ASKED_ENOUGH (!MET(OTHERS(asked)) && !CLEAN(OTHERS(asked)))

inline check()
{
	/* P1 */
	assert(!opened || ((!acked[1] || best >= 1) && (!acked[2] || best >= 2)));
#ifdef REACH
	assert(!(rolled && opened && acked[2] && acked[3] && forgot > kept_number))
#endif
}

/* Somebody meets site 0 and shows his mark. */
inline meet(k)
{
#ifndef NO_MARK
	if
#ifdef COUNTER_ONLY
	:: mark[k] % LATER > number -> behind = true; asked = 0
#else
	:: FORGOTTEN(mark[k]) -> behind = true; asked = 0
#endif
	:: else
	fi;
#endif
	unmet = (newest == 1 + k -> false : unmet)
}

#define SERVES(s, k) ((s) != 0 || (!behind && (!unmet || newest == 1 + (k))))

inline publish(s, p)
{
	k = (p == 3 -> T : W);
	if
	:: s == 0 && SERVES(0, k) -> meet(k)
	:: else
	fi;
	if
	:: SERVES(s, k) && !IN(s, counted[p]) && (k == T -> opened : !fenced[s]) ->
		holds[s] = holds[s] | BIT(p);
		fenced[s] = fenced[s] || k == T;
		counted[p] = counted[p] | BIT(s);
		if
		:: s == 0 -> number++; mark[k] = GIVEN; receipt[p] = GIVEN; newest = (rolled -> newest : 1 + k)
		:: else
		fi
	:: else
	fi;
	k = 0
}

/* Enough receipts: the site that gave one is asked again whether it still stands by it. */
inline acknowledge(p)
{
#ifndef NO_RECHECK
	counted[p] = (IN(0, counted[p]) && FORGOTTEN(receipt[p]) -> counted[p] & ~1 : counted[p]);
#endif
	acked[p] = acked[p] || MET(counted[p]);
	check()
}

inline vote(s)
{
	if
	:: s == 0 && SERVES(0, T) -> meet(T)
	:: else
	fi;
	if
	:: SERVES(s, T) && !IN(s, voters) && !opened ->
		fenced[s] = true;
		voters = voters | BIT(s);
		h = HEAD(s);
		best = (h > best -> h : best);
		h = 0;
		if
#ifndef VOTE_UNCOUNTED
		:: s == 0 -> number++; mark[T] = GIVEN; ballot = GIVEN; newest = (rolled -> newest : 1 + T)
#endif
		:: else
		fi
	:: else
	fi
}

inline open()
{
#ifndef NO_RECHECK
	voters = (IN(0, voters) && FORGOTTEN(ballot) && !opened -> voters & ~1 : voters);
#endif
	opened = opened || CLEAN(voters);
	check()
}

inline catch_up(s)
{
	if
	:: s != 0 && behind ->
		holds[0] = holds[0] | holds[s];
		fenced[0] = fenced[0] || fenced[s];
		asked = asked | BIT(s)
	:: else
	fi
}

active proctype World()
{
	do
	:: atomic { any_site(s); select(p : 1 .. 3); publish(s, p); s = 0; p = 0 }
	:: atomic { select(p : 1 .. 3); acknowledge(p); p = 0 }
	:: atomic { any_site(s); vote(s); s = 0 }
	:: atomic { true -> open() }
	:: atomic { !kept -> kept = true; kept_holds = holds[0]; kept_fenced = fenced[0]; kept_number = number }
	:: atomic { kept && !rolled ->
		rolled = true;
		forgot = number;
		holds[0] = kept_holds; fenced[0] = kept_fenced; number = kept_number;
#ifdef FIRST_MEETS
		unmet = newest != 0 && forgot > kept_number;
#endif
#ifndef NO_CONFIRM
		behind = true
#endif
		}
	:: atomic { any_site(s); catch_up(s); s = 0 }
#ifdef BARE_READMIT
	:: atomic { behind -> behind = false; mark[W] = 0; mark[T] = 0 }
#else
	:: atomic { behind && ASKED_ENOUGH -> behind = false; mark[W] = 0; mark[T] = 0 }
#endif
#ifdef COUNTER_ONLY
	/* A promise to somebody else. */
	:: atomic { others < OTHER_MAX && !behind && rolled -> others++; number++ }
#endif
	od
}
