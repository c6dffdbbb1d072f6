/* rollback.pml -- a site that is set back to an older state of its disk, while the writer changes.
 *
 * W holds epoch 1 and writes points 1 and 2; T wants epoch 2. Site 0 is set back once, to any state it was in: it forgets points, receipts and its
 * vote, and does not know it. Whoever meets it shows the last promise (receipt or vote) that he holds of it, his mark: one that the site does not
 * know makes it read-only. What was acknowledged or elected is told to all sites that had a part in it, and who meets the site brings what the others that
 * he reaches were told. It catches up from other sites, and is let in again once those are enough.
 *
 * Flags that switch a rule off: NO_CONFIRM (a site serves at once after a start, before it asked the others), NO_RECHECK (receipts and votes that came
 * before a site was set back still count), BARE_READMIT. NO_CONFIRM needs an assumption about who meets the site first after it was set back.
 * FIRST_MEETS: the holder of its newest promise. TOLD_MEETS (weaker): somebody who holds its newest promise that counted, or who reaches another site that had
 * a part in that; then NO_MARK, COUNTER_ONLY, VOTE_UNCOUNTED, NO_SPREAD (sites are told nothing), NO_RELAY (nor asked) switch off one thing each. */
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
#ifdef TOLD_MEETS
byte told[3];           /* number of the newest promise of site 0 that site 1, 2 was told of */
byte counts;            /* the newest that counted */
byte partners;          /* the sites that had a part in it, and in bit 0 and 3 the homes W and T that were given it */
bool unseen;            /* nobody who could know of it has met the site since */
byte reach;             /* other sites in reach of the one who meets it */
#endif
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
#define CAUGHT_UP ASKED_ENOUGH(asked)

inline check()
{
	/* P1 */
	assert(!opened || ((!acked[1] || best >= 1) && (!acked[2] || best >= 2)));
#ifdef REACH
	assert(!(rolled && opened && acked[2] && acked[3] && forgot > kept_number))
#endif
}

#define HOME(k) ((k) == W -> 1 : 8)

/* A set of sites counts: each of them is told of what site 0 promised in it. */
#ifdef TOLD_MEETS
inline spread(n, set, k)
{
	if
	:: IN(0, set) && !rolled && n > counts ->
		counts = n;
		partners = (set & 6) | HOME(k);
#ifndef NO_SPREAD
		told[1] = (IN(1, set) -> n : told[1]);
		told[2] = (IN(2, set) -> n : told[2])
#endif
	:: else
	fi
}
#else
inline spread(n, set, k) { skip }
#endif

/* Somebody meets site 0 and shows his mark, and those of the sites in his reach. */
inline meet(k)
{
#ifdef TOLD_MEETS
	select(reach : 0 .. 3);
	reach = reach * 2;
#ifndef NO_RELAY
	if
	:: (IN(1, reach) && FORGOTTEN(told[1])) || (IN(2, reach) && FORGOTTEN(told[2])) -> behind = true; asked = 0
	:: else
	fi;
#endif
	unseen = unseen && !(partners & (reach | HOME(k)));
	partners = (rolled && !unseen -> 0 : partners);
	reach = 0;
#endif
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

#ifdef TOLD_MEETS
#define ASSUMED(k) (!unseen)
#else
#define ASSUMED(k) (!unmet || newest == 1 + (k))
#endif
#ifdef TOLD_MEETS
#define MAY_MEET(k) (!behind)
#else
#define MAY_MEET(k) SERVES(0, k)
#endif
#define SERVES(s, k) ((s) != 0 || (!behind && ASSUMED(k)))

inline publish(s, p)
{
	k = (p == 3 -> T : W);
	if
	:: s == 0 && MAY_MEET(k) -> meet(k)
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
	if
	:: MET(counted[p]) ->
		acked[p] = true;
		spread(receipt[p], counted[p], (p == 3 -> T : W))
	:: else
	fi;
	check()
}

inline vote(s)
{
	if
	:: s == 0 && MAY_MEET(T) -> meet(T)
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
	if
	:: CLEAN(voters) && !opened ->
		opened = true;
		spread(ballot, voters, T)
	:: else
	fi;
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

/* Let in again: what its former incarnation promised is no longer asked for. */
inline settle()
{
	mark[W] = 0; mark[T] = 0;
#ifdef TOLD_MEETS
	told[1] = 0; told[2] = 0
#endif
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
#ifdef TOLD_MEETS
		unseen = counts > kept_number;
		partners = (unseen -> partners : 0);
		told[1] = (FORGOTTEN(told[1]) -> kept_number + 1 : 0);
		told[2] = (FORGOTTEN(told[2]) -> kept_number + 1 : 0);
		counts = 0;
#endif
#ifndef NO_CONFIRM
		behind = true
#endif
		}
	:: atomic { any_site(s); catch_up(s); s = 0 }
#ifdef BARE_READMIT
	:: atomic { behind -> behind = false; settle() }
#else
	:: atomic { behind && CAUGHT_UP -> behind = false; settle() }
#endif
#ifdef COUNTER_ONLY
	/* A promise to somebody else. */
	:: atomic { others < OTHER_MAX && !behind && rolled -> others++; number++ }
#endif
	od
}
