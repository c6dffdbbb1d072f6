/* writer.pml -- one home that is killed between any two steps; its journal is what it has, no other writer is near.
 *
 * Two sites; a run is acknowledged when both gave a receipt. A point that was journaled, but has no receipt yet, is sent again by the next run, byte for
 * byte; where no site can take it any more (its packs are gone) it ends as abandoned. The next point's parent is the newest one with a receipt.
 *
 * Flags that switch a rule off: SEND_FIRST, RESEAL, REUSE, RECEIPT_UNJOURNALED, NO_ABANDON. */

#define SEQS 4          /* sequences 1 .. SEQS - 1 */
#define TROUBLES 3

#define FREE 0
#define JOURNALED 1
#define STORED 2
#define ABANDONED 3

/* The journal, by sequence. */
byte state[SEQS];
byte seal[SEQS];        /* which sealing of its content: different bytes each time */
byte got[SEQS];         /* set of sites whose receipts are journaled */

byte site[8];           /* seal that site s holds as sequence q, at s * SEQS + q */
bool packs_gone[SEQS];
bool acked[SEQS];       /* told to the operator */
byte line[SEQS];        /* the point and its ancestors */

byte seals, troubles, q, last, i, sent, known;

/* P2: what is stored under one number is the same everywhere. P1: the line of every point has the acknowledged ones before it. */
inline check()
{
	assert(!site[1] || !site[SEQS + 1] || site[1] == site[SEQS + 1]);
	assert(!site[2] || !site[SEQS + 2] || site[2] == site[SEQS + 2]);
	assert(!site[3] || !site[SEQS + 3] || site[3] == site[SEQS + 3])
}

#define TROUBLE (troubles < TROUBLES)

/* Sends q with the seal given; `known` collects receipts. A site may be out of reach. The site refuses other bytes under a known number. */
inline send(s, bytes)
{
	if
	:: TROUBLE -> troubles++
	:: packs_gone[q] && site[s * SEQS + q] == 0
	:: !(packs_gone[q] && site[s * SEQS + q] == 0) ->
		if
		:: site[s * SEQS + q] == 0 -> site[s * SEQS + q] = bytes; check(); known = known | (1 << s)
		:: site[s * SEQS + q] == bytes -> known = known | (1 << s)
		:: else
		fi;
		/* The connection breaks after the site stored it. */
		if
		:: TROUBLE -> troubles++; known = known & ~(1 << s)
		:: true
		fi
	fi
}

inline take()
{
#ifndef RECEIPT_UNJOURNALED
	got[q] = got[q] | known;
#endif
	if
	:: known == 3 -> acked[q] = true
	:: else
	fi
}

active proctype Home()
{
run_begins:
	atomic {
		known = 0; sent = 0; last = 0; i = 1;
		do
		:: i < SEQS && state[i] == STORED -> last = i; i++
		:: i < SEQS && state[i] != STORED -> i++
		:: i == SEQS -> i = 0; break
		od;
		q = 1
	};
	/* What the run before left. */
	do
	:: q < SEQS && state[q] == JOURNALED ->
#ifdef RESEAL
		atomic { seals++; seal[q] = seals };
#endif
		known = 0;
		atomic { send(0, seal[q]) };
		atomic { send(1, seal[q]) };
		atomic {
			take();
			if
			:: got[q] || known -> state[q] = STORED; last = q
#ifdef NO_ABANDON
			:: else -> goto run_begins
#else
			:: else -> state[q] = ABANDONED
#endif
			fi;
			known = 0;
			q++
		}
	:: atomic { q < SEQS && state[q] != JOURNALED -> q++ }
	:: q == SEQS -> break
	od;
	/* A new point. */
	atomic {
		q = 1;
		do
#ifdef REUSE
		:: q < SEQS && (state[q] == FREE || state[q] == ABANDONED) -> break
		:: q < SEQS && state[q] != FREE && state[q] != ABANDONED -> q++
#else
		:: q < SEQS && state[q] == FREE -> break
		:: q < SEQS && state[q] != FREE -> q++
#endif
		:: q == SEQS -> goto ends
		od;
		seals++;
		sent = seals;
#ifndef SEND_FIRST
		seal[q] = sent; state[q] = JOURNALED; got[q] = 0;
#endif
		line[q] = line[last] | (1 << q);
		/* P1 */
		assert((!acked[1] || q == 1 || (line[q] & 2)) && (!acked[2] || q == 2 || (line[q] & 4)))
	};
	if
	:: TROUBLE -> troubles++; goto run_begins       /* killed before anything was sent */
	:: TROUBLE -> atomic { troubles++; packs_gone[q] = true; goto run_begins }
	:: true
	fi;
	atomic { known = 0; send(0, sent) };
	if
	:: TROUBLE -> troubles++; goto run_begins       /* killed between the sites */
	:: true
	fi;
	atomic { send(1, sent) };
#ifdef SEND_FIRST
	if
	:: TROUBLE -> troubles++; goto run_begins
	:: true
	fi;
	atomic { seal[q] = sent; state[q] = JOURNALED; got[q] = 0 };
#endif
	atomic { take() };
	if
	:: TROUBLE -> troubles++; goto run_begins       /* killed before the pointer moves */
	:: true
	fi;
	atomic {
		state[q] = (got[q] || known -> STORED : JOURNALED);
		if
		:: state[q] == STORED && acked[q] && troubles == TROUBLES -> goto ends
		:: else -> goto run_begins
		fi
	};
ends:
	skip
}

/* P5: once the troubles are over, a run is acknowledged (or the few sequences of the model are used up). */
ltl progress { <> (Home@ends) }
