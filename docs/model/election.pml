/* election.pml -- P5: a home that is the only one there ever was always comes to write again, whatever it forgot and wherever it was killed.
 *
 * It may lose its journal, or be killed between two votes; each run reaches other sites. A run that has no epoch, or finds a site that promised
 * something else to this very incarnation, asks for a number above all that it sees, with a grant that its own key signs (a renewal).
 *
 * Flags that switch a rule off: FENCED_BY_SELF (any promise that the journal does not know fences), PARENT_EQUAL (a site takes a renewal
 * only if its parent is the very grant that the site has promised). */
#include "sites.pml"

#define TROUBLES 3

byte promised[3], grant[3];   /* what each site has promised */
byte epoch, own;              /* what the journal holds; 0: nothing */
byte grants, troubles;
byte reach, voters, number, parent, s;
bool fenced, elect, asked;

inline look(s)
{
	if
	:: IN(s, reach) ->
		if
		:: promised[s] > number -> number = promised[s]; parent = grant[s]
		:: else
		fi;
		if
		:: epoch && (promised[s] > epoch || (promised[s] == epoch && grant[s] != own)) ->
#ifdef FENCED_BY_SELF
			fenced = true
#else
			elect = true
#endif
		:: else
		fi
	:: else
	fi
}

/* Asks one site for the vote; killed, perhaps, before the next. */
inline ask(s)
{
	atomic {
		if
#ifdef PARENT_EQUAL
		:: IN(s, reach) && promised[s] < number && (promised[s] == 0 || grant[s] == parent) ->
#else
		:: IN(s, reach) && promised[s] < number ->
#endif
			promised[s] = number; grant[s] = grants; voters = voters | BIT(s)
		:: else
		fi
	};
	if
	:: atomic { troubles < TROUBLES -> troubles++; goto run_begins }
	:: true
	fi
}

active proctype Home()
{
run_begins:
	atomic {
		if
		:: troubles < TROUBLES -> troubles++; epoch = 0; own = 0     /* the journal is lost */
		:: true
		fi;
		select(reach : 1 .. 7);
		voters = 0; number = 0; parent = 0; elect = (epoch == 0);
		look(0); look(1); look(2);
		/* nobody else was ever there */
		assert(!fenced);
		number++
	};
	if
	:: elect ->
		grants++;
		ask(0); ask(1); ask(2);
		atomic {
			/* whom it reached can elect it, and does */
			assert(!CLEAN(reach) || voters == reach);
			if
			:: CLEAN(voters) -> epoch = number; own = grants
			:: else
			fi
		}
	:: else -> skip
	fi;
	if
	:: grants < 5 -> goto run_begins
	:: else
	fi
}
