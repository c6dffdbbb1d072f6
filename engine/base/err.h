/* err.h -- error codes and error texts.
 *
 * Every fallible function returns `enum tk_rc` and fills a `struct tk_err` where the fault is first
 * seen; callers add context on the way up; it is logged once, at the edge. An err pointer may be NULL
 * everywhere: the text is then lost, the code is not. A tk_err is plain data, owned by the caller,
 * used by one thread at a time. */
#ifndef TK_BASE_ERR_H
#define TK_BASE_ERR_H

#define TK_MUST_CHECK __attribute__((warn_unused_result))
#define TK_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))

/* Declares a variable that is cleaned up when its scope ends: TK_AUTO(tk_fd_cleanup) int fd = -1; */
#define TK_AUTO(cleanup_fn) __attribute__((cleanup(cleanup_fn)))

enum tk_rc {
	TK_OK = 0,
	TK_ENOMEM = -1,        /* memory ran out */
	TK_EIO = -2,           /* a read, write or fsync failed */
	TK_ENOSPC = -3,        /* disk or quota full */
	TK_ENOENT = -4,        /* it does not exist */
	TK_EEXIST = -5,        /* it exists already */
	TK_EINVAL = -6,        /* caller's mistake, or a value out of range */
	TK_ECORRUPT = -7,      /* bytes are damaged or malformed: digest, tag or structure is wrong */
	TK_EKEY = -8,          /* wrong passphrase or key */
	TK_EFENCED = -9,       /* another node writes this domain now */
	TK_EUNREACH = -10,     /* the site does not answer */
	TK_ELOCKED = -11,      /* another process holds the lock */
	TK_EUSAGE = -12,       /* wrong command line */
	TK_ECONFIG = -13,      /* wrong configuration */
	TK_ECANCELLED = -14,   /* interrupted on request */
	TK_EDENIED = -15,      /* the peer has no right to do this */
	TK_EUNSUPPORTED = -16, /* an unknown version, suite, codec or critical feature bit */
	TK_ETIMEOUT = -17,     /* no progress in time */
	TK_EPROTO = -18,       /* the peer broke the protocol */
	TK_EMISSING = -19,     /* a reference cannot be served */
	TK_EBEHIND = -20,      /* the vault is older than a receipt it gave: reads only */
	TK_ECONFLICT = -21,    /* other bytes are already known under this name or sequence */
	TK_EHISTORY = -22,     /* two histories are open */
	TK_ENOTSAFE = -23,     /* an entry would leave the target, or a name is not allowed */
};

#define TK_ERR_TEXT_MAX 1024
#define TK_ERR_CAUSE_MAX 24

struct tk_err {
	enum tk_rc rc;
	int sys_errno;               /* 0 when no system call failed */
	char cause[TK_ERR_CAUSE_MAX]; /* a name; faults of many files that have the same one are one fault to people; empty: none */
	char text[TK_ERR_TEXT_MAX];  /* one line, no newline, "outer: inner" */
};

/* Fills *err with rc and a text, with no cause; returns rc, so that "return tk_err_set(...)" reads well. */
enum tk_rc tk_err_set(struct tk_err *err, enum tk_rc rc, const char *fmt, ...) TK_PRINTF(3, 4);

/* As tk_err_set, and appends errno's text. ENOSPC and EDQUOT become TK_ENOSPC, ENOMEM becomes
 * TK_ENOMEM, ENOENT becomes TK_ENOENT whatever rc says. */
enum tk_rc tk_err_errno(struct tk_err *err, enum tk_rc rc, const char *fmt, ...) TK_PRINTF(3, 4);

/* Puts "context: " before the text that is there; returns err->rc (or rc when err is NULL). */
enum tk_rc tk_err_context(struct tk_err *err, enum tk_rc rc, const char *fmt, ...) TK_PRINTF(3, 4);

/* Gives the fault that is there a cause: what was damaged or lost. Returns err->rc (or rc when err is NULL). */
enum tk_rc tk_err_cause(struct tk_err *err, enum tk_rc rc, const char *cause);

/* Makes *err empty (TK_OK, no text). */
void tk_err_clear(struct tk_err *err);

/* The code's stable name, "corrupt" for TK_ECORRUPT; "error" for an unknown one. Static storage. */
const char *tk_rc_name(enum tk_rc rc);

/* The exit status of docs (cli contract) for a run that ended with rc. */
int tk_rc_exit_status(enum tk_rc rc);

#endif
