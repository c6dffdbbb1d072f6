/* epochs.pml -- epochs, votes and receipts while the writer changes.
 *
 * W writes a point under epoch 1, which all sites have promised. T and U each want a later epoch: another node that takes over, or the same home
 * after its journal was lost. T asks for number 2; U for 2 as well, or for 3. Whoever has a clean set of votes adopts the highest head among
 * them and writes one point. Sites pull points from each other at any time. Anything may happen next, or nothing more.
 *
 * Flags that switch a rule off: COUNT_STALE, PROMISE_EARLY, HEAD_EARLY, VOTE_TWICE, VOTE_FORGOTTEN, MAJORITY_ONLY, NO_MAJORITY, TAKER_LABELS, ADOPT_ANY,
 * SAME_EPOCH. REACH: fails where three writers in turn can acknowledge. */
#include "sites.pml"

/* The writers; each writes the point with its own index. 0: none. */
#define W 1
#define T 2
#define U 3

byte epoch[4];          /* that the writer asks for, or holds */
byte voters[4];         /* set of sites */
bool opened[4];
byte best[4];           /* the highest head among the voters */

byte rank[4];           /* of the point: its place by (epoch, sequence) */
byte line[4];           /* the point and its ancestors */
byte counted[4];        /* set of sites whose receipts the writer counts */
bool acked[4];

byte holds[3];          /* set of points, by site */
byte promised[3];       /* number, and to whom */
byte holder[3];

byte s, k, head;        /* scratch, zero between steps */
byte looked;            /* PROMISE_EARLY: sites where W's publish has looked at the promise; HEAD_EARLY: the heads seen */
#ifdef HEAD_EARLY
byte seen[12];
#endif

#define HAS(s, p) IN(p, holds[s])
#define STORED(p) (HAS(0, p) || HAS(1, p) || HAS(2, p))

/* P1: what is acknowledged is in the line of every later epoch that was opened, whichever came first. */
#define KEEPS(k, p) (!opened[k] || !acked[p] || epoch[k] <= epoch[p] || IN(p, line[k]))
/* P2: no two points under one number are stored anywhere; no number is opened twice. */
#define DIFFER(p, q) (rank[p] != rank[q] || !STORED(p) || !STORED(q))

inline any_taker(k)
{
	if
	:: k = T
	:: k = U
	fi
}

inline any_writer(k)
{
	if
	:: k = W
	:: k = T
	:: k = U
	fi
}

inline check()
{
	assert(KEEPS(T, W) && KEEPS(U, W) && KEEPS(U, T) && KEEPS(T, U));
	assert(DIFFER(W, T) && DIFFER(W, U) && DIFFER(T, U));
	assert(!(opened[T] && opened[U] && epoch[T] == epoch[U]));
#ifdef REACH
	assert(!(acked[W] && acked[T] && acked[U]))
#endif
}

#define MAY_TAKE(s, k) (promised[s] < epoch[k] || (promised[s] == epoch[k] && holder[s] == k))

/* P3: a receipt counts only if the site had promised no later epoch when it made it. */
inline count(s, p, promised_then)
{
	if
#ifdef COUNT_STALE
	:: true ->
#else
	:: promised_then == epoch[p] ->
#endif
		counted[p] = counted[p] | BIT(s);
		acked[p] = acked[p] || MET(counted[p])
#ifndef COUNT_STALE
	:: else
#endif
	fi
}

inline see_head(s)
{
	d_step {
		head = (HAS(s, W) -> W : 0);
		head = (HAS(s, T) && rank[T] > rank[head] -> T : head);
		head = (HAS(s, U) && rank[U] > rank[head] -> U : head)
	}
}

/* The promise is read, the point stored and the receipt made in one transaction. A point that is there already (pulled, or sent before) gets a
 * receipt again, which names what is promised by now. */
inline publish(s, p)
{
	if
	:: IN(s, counted[p]) || !opened[p]
	:: !IN(s, counted[p]) && opened[p] && MAY_TAKE(s, p) ->
		promised[s] = epoch[p];
		holder[s] = p;
		holds[s] = holds[s] | BIT(p);
		count(s, p, promised[s]);
		check()
	:: !IN(s, counted[p]) && opened[p] && !MAY_TAKE(s, p) ->
		if
		:: HAS(s, p) -> count(s, p, promised[s]); check()
		:: else
		fi
	fi
}

inline pull(s, p)
{
	if
	:: STORED(p) -> holds[s] = holds[s] | BIT(p); check()
	:: else
	fi
}

#ifdef VOTE_TWICE
#define FREE(s, k) (promised[s] <= epoch[k])
#else
#define FREE(s, k) MAY_TAKE(s, k)
#endif

inline vote(s, k)
{
	if
	:: FREE(s, k) && !IN(s, voters[k]) && !opened[k] ->
		promised[s] = epoch[k];
		holder[s] = k;
		voters[k] = voters[k] | BIT(s);
#ifdef HEAD_EARLY
		head = seen[k * 3 + s];
		seen[k * 3 + s] = 0;
#else
		see_head(s);
#endif
#ifdef ADOPT_ANY
		/* the head of whichever voter came last */
		best[k] = head;
#else
		best[k] = (rank[head] > rank[best[k]] -> head : best[k]);
#endif
		head = 0
	:: else
	fi
}

inline open(k)
{
	if
	:: CLEAN(voters[k]) && !opened[k] ->
		rank[k] = epoch[k] * 8 + (rank[best[k]] % 8) + 1;
		line[k] = line[best[k]] | BIT(k);
		opened[k] = true;
		best[k] = 0;
		check()
	:: else
	fi
}

active proctype World()
{
	atomic {
		epoch[W] = 1; epoch[T] = 2;
		if
		:: epoch[U] = 2
		:: epoch[U] = 3
		fi;
		rank[W] = 9; line[W] = BIT(W); opened[W] = true;
		promised[0] = 1; promised[1] = 1; promised[2] = 1;
		holder[0] = W; holder[1] = W; holder[2] = W
	};
	do
	:: atomic { any_site(s); any_writer(k); publish(s, k); s = 0; k = 0 }
	:: atomic { any_site(s); any_writer(k); pull(s, k); s = 0; k = 0 }
	:: atomic { any_site(s); any_taker(k); vote(s, k); s = 0; k = 0 }
	:: atomic { any_taker(k); open(k); k = 0 }
#ifdef PROMISE_EARLY
	/* The promise is looked at, then the point stored: a vote may come between. */
	:: atomic { any_site(s);
		if
		:: MAY_TAKE(s, W) -> looked = looked | BIT(s)
		:: else
		fi; s = 0 }
	:: atomic { any_site(s);
		if
		:: IN(s, looked) -> holds[s] = holds[s] | BIT(W); count(s, W, epoch[W]); check()
		:: else
		fi; s = 0 }
#endif
#ifdef HEAD_EARLY
	/* The head is looked at, then the vote is made durable: a publish may come between. */
	:: atomic { any_site(s); any_taker(k); see_head(s); seen[k * 3 + s] = head; head = 0; s = 0; k = 0 }
#endif
#ifdef VOTE_FORGOTTEN
	/* A site restarts, and what it voted was not durable. */
	:: atomic { any_site(s); promised[s] = 1; holder[s] = W; s = 0 }
#endif
#ifdef SAME_EPOCH
	/* A home that lost its journal goes on under the old epoch, from what two sites show. */
	:: atomic { !opened[T] -> see_head(0); best[T] = head; see_head(1); best[T] = (rank[head] > rank[best[T]] -> head : best[T]); head = 0;
		epoch[T] = 1; voters[T] = ALL; open(T);
		holder[0] = (promised[0] == 1 -> T : holder[0]); holder[1] = (promised[1] == 1 -> T : holder[1]) }
#endif
	od
}
