#include "engine/crypto/passphrase.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/crypto/hash.h"

/* Costs in tenths of a bit, after the guesser's best way to produce each piece. */
enum {
	COST_WORD = 100,
	COST_SEQUENCE = 70,
	COST_REPEAT = 50,
	COST_YEAR = 70,
	COST_LETTER_OF_WORD = 25, /* of a pronounceable run: about a diceware word per five letters */
	COST_WIDE_CHAR = 80,      /* Han and the like: one of a few hundred common ones in a phrase */
};

static const char *const common_words[] = {
	"123123", "abc123", "admin", "administrator", "archive", "autumn", "backup", "baseball", "beijing", "changeme", "china",
	"computer", "database", "default", "disaster", "dragon", "football", "friday", "government", "guest", "hello", "iloveyou",
	"keep", "letmein", "login", "love", "manager", "master", "monday", "monkey", "network", "office", "oracle", "password",
	"passphrase", "passwd", "postgres", "princess", "qazwsx", "qwerty", "recovery", "remote", "restore", "root", "secret", "secure",
	"server", "shadow", "shanghai", "spring", "summer", "sunshine", "superman", "system", "test", "trustno", "twin", "user",
	"welcome", "winter", "woaini", "world", "5201314",
};

static const char *const keyboard_rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz2wsx3edc4rfv", "poiuytrewq", "lkjhgfdsa",
	"mnbvcxz"};

#define ADVICE "use five or more random words, or 16 random characters"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

/* Lower case, and the usual stand-ins for letters undone. */
static char
plain_letter(char c)
{
	static const char from[] = "0134578@$!", to[] = "oleastbasi";
	const char *at = c != '\0' ? strchr(from, c) : NULL;

	return at != NULL ? to[at - from] : c;
}

static size_t
common_prefix(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = 0;

	while (n < a_len && n < b_len && a[n] == b[n])
		n++;
	return n;
}

static size_t
match_word(const char *text, size_t len)
{
	char plain[16];
	size_t plain_len = len < sizeof(plain) ? len : sizeof(plain);
	size_t best = 0;

	for (size_t i = 0; i < plain_len; i++)
		plain[i] = plain_letter(text[i]);
	for (size_t i = 0; i < COUNT(common_words); i++) {
		size_t n = strlen(common_words[i]);

		if (n > best && (common_prefix(text, len, common_words[i], n) == n ||
		    common_prefix(plain, plain_len, common_words[i], n) == n))
			best = n;
	}
	tk_wipe(plain, sizeof(plain));
	return best;
}

/* abcd, 9876, qwer: at least three. */
static size_t
match_sequence(const char *text, size_t len)
{
	size_t best = 1;

	for (int step = -1; step <= 1; step += 2) {
		size_t n = 1;

		while (n < len && text[n] == text[n - 1] + step && (is_letter(text[n]) || is_digit(text[n])))
			n++;
		best = n > best ? n : best;
	}
	for (size_t i = 0; i < COUNT(keyboard_rows); i++) {
		const char *at = text[0] != '\0' ? strchr(keyboard_rows[i], text[0]) : NULL;
		size_t n = at != NULL ? common_prefix(text, len, at, strlen(at)) : 0;

		best = n > best ? n : best;
	}
	return best >= 3 ? best : 0;
}

/* The same as somewhere before, overlapping too: "aaaa" is one a and a repetition. */
static size_t
match_repeat(const char *text, size_t len, size_t pos)
{
	size_t best = 0;

	for (size_t from = 0; from < pos; from++) {
		size_t n = common_prefix(text + pos, len - pos, text + from, len - from);

		best = n > best ? n : best;
	}
	return best >= 3 ? best : 0;
}

static size_t
match_year(const char *text, size_t len)
{
	return len >= 4 && (memcmp(text, "19", 2) == 0 || memcmp(text, "20", 2) == 0) && is_digit(text[2]) && is_digit(text[3]) ? 4 : 0;
}

/* A run of letters that could be words: vowels, at least every fourth letter. */
static size_t
match_pronounceable(const char *text, size_t len)
{
	size_t n = 0, consonants = 0, vowels = 0;

	while (n < len && is_letter(text[n])) {
		if (strchr("aeiouy", text[n]) != NULL) {
			consonants = 0;
			vowels++;
		} else {
			consonants++;
		}
		if (consonants > 3)
			return 0;
		n++;
	}
	return n >= 3 && vowels > 0 ? n : 0;
}

/* Tenths of a bit for one character taken at random from the kinds of characters that the text uses. */
static unsigned
cost_of_random_char(const char *text, size_t len)
{
	bool lower = false, upper = false, digit = false, other = false;
	unsigned pool;

	for (size_t i = 0; i < len; i++) {
		lower = lower || is_letter(text[i]);
		upper = upper || (text[i] >= 'A' && text[i] <= 'Z');
		digit = digit || is_digit(text[i]);
		other = other || (!is_letter(text[i]) && !is_digit(text[i]) && !(text[i] >= 'A' && text[i] <= 'Z'));
	}
	pool = (lower ? 26U : 0) + (upper ? 26U : 0) + (digit ? 10U : 0) + (other ? 33U : 0);
	return pool <= 10 ? 33 : pool <= 26 ? 47 : pool <= 36 ? 51 : pool <= 62 ? 58 : 65;
}

/* The longest known piece at pos; 0 when there is none. */
static size_t
match_piece(const char *text, size_t len, size_t pos, unsigned *cost)
{
	const struct {
		size_t len;
		unsigned cost;
	} pieces[] = {
		{match_repeat(text, len, pos), COST_REPEAT},
		{match_sequence(text + pos, len - pos), COST_SEQUENCE},
		{match_word(text + pos, len - pos), COST_WORD},
		{match_year(text + pos, len - pos), COST_YEAR},
	};
	size_t best = 0;

	for (size_t i = 0; i < COUNT(pieces); i++) {
		if (pieces[i].len > best) {
			best = pieces[i].len;
			*cost = pieces[i].cost;
		}
	}
	return best;
}

unsigned
tk_passphrase_bits(const char *text, size_t len_bytes)
{
	char lower[TK_PASSPHRASE_MAX];
	size_t len = len_bytes < sizeof(lower) ? len_bytes : sizeof(lower);
	size_t pos = 0, word_end = 0;
	unsigned random_cost, tenths = 0;

	for (size_t i = 0; i < len; i++)
		lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	random_cost = cost_of_random_char(text, len);
	while (pos < len) {
		unsigned cost = 0;
		size_t n = match_piece(lower, len, pos, &cost);

		if (n == 0) {
			const uint8_t byte = (uint8_t)lower[pos];

			n = 1;
			if (pos >= word_end)
				word_end = pos + match_pronounceable(lower + pos, len - pos);
			if (pos < word_end)
				cost = COST_LETTER_OF_WORD;
			else if (byte >= 0x80)
				cost = byte >= 0xc0 ? COST_WIDE_CHAR : 0; /* the later bytes of a character are its own */
			else
				cost = byte == ' ' || byte == '-' ? COST_LETTER_OF_WORD / 2 : random_cost;
		}
		tenths += cost;
		pos += n;
	}
	tk_wipe(lower, sizeof(lower));
	return tenths / 10;
}

enum tk_rc
tk_passphrase_check(const char *text, size_t len_bytes, struct tk_err *err)
{
	unsigned bits;

	if (len_bytes < TK_PASSPHRASE_MIN)
		return tk_err_set(err, TK_EINVAL, "the passphrase is shorter than %d characters: " ADVICE, TK_PASSPHRASE_MIN);
	if (len_bytes > TK_PASSPHRASE_MAX)
		return tk_err_set(err, TK_EINVAL, "the passphrase is longer than %d bytes", TK_PASSPHRASE_MAX);
	bits = tk_passphrase_bits(text, len_bytes);
	if (bits < TK_PASSPHRASE_BITS_MIN)
		return tk_err_set(err, TK_EINVAL, "the passphrase is too easy to guess (about %u bits, %d are needed): " ADVICE, bits,
		    TK_PASSPHRASE_BITS_MIN);
	return TK_OK;
}
