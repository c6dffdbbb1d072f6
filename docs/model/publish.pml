/* publish.pml -- one site publishes a point, and is killed, loses power or fails to write between any two steps.
 *
 * What is written is first seen (page cache, a name without an fsync of its directory), then durable; a loss of power takes any of what is
 * only seen. Two points, P and Q, came under one number, from a home and its clone. The site may be asked to vote for the next epoch at any time.
 *
 * Flags that switch a rule off: PACKS_LATE, POINT_LATE, TELL_EARLY, NO_RELOAD, NO_ADOPT, NO_RESYNC, NO_CONFLICT, VOTE_UNDURABLE. */

#define NONE 0
#define SEEN 1
#define DURABLE 2
#define P 0
#define Q 1

byte packs[2], point[2], receipt[2], row[2], ballot;
bool told[2];           /* the receipt left the site */
bool loaded;            /* memory agrees with files and index */
bool voted;             /* the vote left the site */
byte head;              /* in memory: 0 none, else 1 + point */
byte working;           /* the point under way: 0 none, else 1 + point */
byte step;
byte voted_head;
byte troubles;          /* so far */
#define TROUBLES 3

/* P1 at one site: what it told survives, and every vote after it shows it; a receipt told after the vote was in the vote's head. */
inline check()
{
	assert(!told[P] || (packs[P] && point[P] && receipt[P]));
	assert(!told[Q] || (packs[Q] && point[Q] && receipt[Q]));
	assert(!(voted && told[P]) || voted_head == 1 + P);
	assert(!(voted && told[Q]) || voted_head == 1 + Q);
	/* P2 */
	assert(!(told[P] && told[Q]) && !(receipt[P] && receipt[Q]));
	/* a vote that was told is never forgotten */
	assert(!voted || ballot);
#ifdef REACH
	assert(!(voted && told[Q] && troubles == TROUBLES))
#endif
}

inline lose(what)
{
	if
	:: what == SEEN -> what = NONE
	:: what == SEEN -> what = DURABLE
	:: what != SEEN
	fi
}

inline load(p)
{
	/* A point without a receipt goes; a receipt without a row gets its row. */
	if
	:: receipt[p] == NONE -> point[p] = NONE
	:: else
	fi;
#ifndef NO_ADOPT
	row[p] = (receipt[p] != NONE -> DURABLE : row[p]);
#endif
#ifndef NO_RESYNC
	/* What a killed process left is made durable before anything is built on it. */
	point[p] = (point[p] -> DURABLE : NONE);
	receipt[p] = (receipt[p] -> DURABLE : NONE);
	packs[p] = (packs[p] -> DURABLE : NONE);
#endif
	head = (row[p] -> 1 + p : head)
}

inline enter()
{
	if
	:: !loaded -> head = 0; load(P); load(Q);
#ifndef NO_RESYNC
		ballot = (ballot -> DURABLE : NONE);
#endif
		loaded = true
	:: else
	fi
}

inline begin(p)
{
	if
	:: working == 0 && !told[p] ->
		enter();
		if
		/* The same point again: its receipt again. */
		:: row[p] -> told[p] = true; check()
#ifdef NO_CONFLICT
		:: !row[p] && !ballot -> working = 1 + p; step = 0
		:: !row[p] && ballot
#else
		:: !row[p] && !row[1 - p] && !ballot -> working = 1 + p; step = 0
		:: !row[p] && (row[1 - p] || ballot)
#endif
		fi
	:: else
	fi
}

/* One write at a time; loaded is false while files and index may differ. */
inline advance(p)
{
	if
#ifdef PACKS_LATE
	:: step == 0 -> packs[p] = SEEN
#else
	:: step == 0 -> packs[p] = DURABLE
#endif
#ifdef NO_RELOAD
	:: step == 1 -> skip
#else
	:: step == 1 -> loaded = false
#endif
#ifdef POINT_LATE
	:: step == 2 -> receipt[p] = SEEN
	:: step == 3 -> receipt[p] = DURABLE
	:: step == 4 -> told[p] = true; check()
	:: step == 5 -> point[p] = SEEN
	:: step == 6 -> point[p] = DURABLE
#else
	:: step == 2 -> point[p] = SEEN
	:: step == 3 -> point[p] = DURABLE
	:: step == 4 -> receipt[p] = SEEN
#ifdef TELL_EARLY
	:: step == 5 -> told[p] = true; check()
	:: step == 6 -> receipt[p] = DURABLE
#else
	:: step == 5 -> receipt[p] = DURABLE
	:: step == 6 -> skip
#endif
#endif
	:: step == 7 -> row[p] = DURABLE
	:: step == 8 -> head = 1 + p; loaded = true
	:: step == 9 -> told[p] = true; check()
	fi;
	step = (step == 9 -> 0 : step + 1);
	working = (step == 0 -> 0 : working)
}

inline vote()
{
	if
	:: working == 0 && !voted ->
		enter();
		if
		:: ballot == NONE ->
			voted_head = head;
			ballot = SEEN;
#ifndef VOTE_UNDURABLE
			ballot = DURABLE;
#endif
			voted = true
		:: else -> voted = true
		fi;
		check()
	:: else
	fi
}

active proctype Site()
{
	do
	:: atomic { true -> begin(P) }
	:: atomic { true -> begin(Q) }
	:: atomic { working != 0 -> advance(working - 1) }
	:: atomic { true -> vote() }
	:: atomic { troubles < TROUBLES ->
		troubles++;
		if
		/* A write fails: the publish ends, memory stays. */
		:: working != 0
		/* Killed: what was seen is still seen. */
		:: loaded = false; head = 0
		/* Power lost. */
		:: loaded = false; head = 0;
			lose(packs[P]); lose(point[P]); lose(receipt[P]);
			lose(packs[Q]); lose(point[Q]); lose(receipt[Q]); lose(ballot)
		fi;
		working = 0; step = 0;
		check() }
	od
}
