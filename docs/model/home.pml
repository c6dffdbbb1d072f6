/* home.pml -- a home that is set back to an older state, under the epoch it still holds, while some sites are out of reach.
 *
 * The home wrote point 1. It goes on with 2 and 3 (life A); at any time it is set back to where it had written 1 only, and goes on from there with
 * other points of the same numbers, 4 and 5 (life B). Then an operator recovers: R wins epoch 2 from a clean set of sites and adopts the highest head.
 * A run begins by asking the sites it can reach for their heads, and sends its point to those.
 *
 * Flags that switch a rule off: NO_AHEAD_CHECK, NO_FORK_CHECK, ALONE_COUNTS, NO_BINDING (a copy of the home runs beside it: both lives at once). */
#include "sites.pml"

#define A 0
#define B 1

byte holds[3];          /* set of points */
bool fenced[3];         /* has promised epoch 2 */
byte counted[6];        /* by point: sites */
bool acked[6];
byte reached[2];        /* by life: the sites of the present run; 0: no run */
byte tip[2];            /* last point written */
bool stopped[2];        /* it found itself set back */
bool rolled;            /* life A is over */

byte voters, heads;     /* R: who voted, and the set of their heads */
byte best;
bool opened, forked;
byte s, l, p, h;

#ifdef NO_BINDING
#define LIVES(l) ((l) == B || !rolled)
#else
#define LIVES(l) ((l) == B -> rolled : !rolled)
#endif

#define SEQ(p) ((p) > 3 -> (p) - 2 : (p))
#define LIFE(p) ((p) > 3 -> B : A)
#define TWIN(p) ((p) == 2 || (p) == 3 -> (p) + 2 : ((p) > 3 -> (p) - 2 : 0))
/* The point and its ancestors. */
#define LINE(p) ((p) == 1 -> 2 : ((p) == 2 -> 6 : ((p) == 3 -> 14 : ((p) == 4 -> 18 : ((p) == 5 -> 50 : 0)))))
#define HEAD(s) (IN(3, holds[s]) -> 3 : (IN(5, holds[s]) -> 5 : (IN(2, holds[s]) -> 2 : (IN(4, holds[s]) -> 4 : IN(1, holds[s])))))

inline check()
{
	/* P1 */
	assert(!opened || ((!acked[1] || IN(1, LINE(best))) && (!acked[2] || IN(2, LINE(best))) && (!acked[3] || IN(3, LINE(best))) &&
			   (!acked[4] || IN(4, LINE(best))) && (!acked[5] || IN(5, LINE(best)))));
	/* P2 */
	assert(!(acked[2] && acked[4]) && !(acked[3] && acked[5]));
	/* one site never holds both */
	assert(!(IN(2, holds[s]) && IN(4, holds[s])) && !(IN(3, holds[s]) && IN(5, holds[s])));
#ifdef REACH
	assert(!(opened && acked[5]))
#endif
}

/* What the home learns of one site as its run begins. */
inline ask(s, l)
{
	h = HEAD(s);
#ifndef NO_AHEAD_CHECK
	stopped[l] = stopped[l] || SEQ(h) > SEQ(tip[l]) || (SEQ(h) == SEQ(tip[l]) && h != tip[l]);
#endif
	stopped[l] = stopped[l] || fenced[s];
	h = 0
}

inline begin(l)
{
	if
	:: reached[l] == 0 && !stopped[l] && SEQ(tip[l]) < 3 && LIVES(l) ->
		if
		:: ask(0, l); reached[l] = 1
		:: true
		fi;
		if
		:: ask(1, l); reached[l] = reached[l] | 2
		:: true
		fi;
		if
		:: ask(2, l); reached[l] = reached[l] | 4
		:: true
		fi;
		if
		:: stopped[l] || reached[l] == 0 -> reached[l] = 0
		:: else -> tip[l] = (tip[l] == 1 -> (l == A -> 2 : 4) : tip[l] + 1)
		fi
	:: else
	fi
}

/* Sends p in the life that wrote it, if this run reached the site. */
inline publish(s, p)
{
	l = LIFE(p);
	if
	:: IN(s, reached[l]) && !stopped[l] && tip[l] >= p && !fenced[s] && !IN(s, counted[p]) && (l == B || !rolled) &&
	   (TWIN(p) == 0 || !IN(TWIN(p), holds[s])) ->
		holds[s] = holds[s] | BIT(p);
		counted[p] = counted[p] | BIT(s);
#ifdef ALONE_COUNTS
		acked[p] = acked[p] || MET(counted[p]);
#else
		/* A run that could not ask enough sites whether it was set back does not count as protected. */
		acked[p] = acked[p] || (MET(counted[p]) && ASKED_ENOUGH(reached[l]));
#endif
		check()
	:: else
	fi;
	l = 0
}

inline vote(s)
{
	if
	:: !fenced[s] ->
		fenced[s] = true;
		voters = voters | BIT(s);
		h = HEAD(s);
		heads = heads | BIT(h);
		best = (SEQ(h) > SEQ(best) -> h : best);
		h = 0
	:: else
	fi
}

inline open()
{
	if
	:: CLEAN(voters) && !opened && !forked ->
		if
#ifndef NO_FORK_CHECK
		/* A voter's head of the same epoch is no ancestor: two histories, and an operator's choice. */
		:: (heads & ~(LINE(best) | 1)) != 0 -> forked = true
		:: else -> opened = true
#else
		:: true -> opened = true
#endif
		fi;
		check()
	:: else
	fi
}

active proctype World()
{
	atomic { tip[A] = 1; tip[B] = 1 };
	do
	:: atomic { l = A; begin(l); l = 0 }
	:: atomic { l = B; begin(l); l = 0 }
	:: atomic { reached[A] -> reached[A] = 0 }
	:: atomic { reached[B] -> reached[B] = 0 }
	:: atomic { !rolled -> rolled = true; reached[A] = 0 }
	:: atomic { any_site(s); select(p : 1 .. 5); publish(s, p); s = 0; p = 0 }
	:: atomic { any_site(s); vote(s); s = 0 }
	:: atomic { true -> open() }
	od
}
