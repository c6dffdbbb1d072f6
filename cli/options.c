#include "cli/options.h"

#include "cli/verbs.h"
#include "policies/settings.h"

const struct tk_option tk_options[TK_OPT_COUNT] = {
	[TK_OPT_HOME] = {"home", 0, "DIR", NULL, false, false, "The directory of configuration, keys and certificates; default " TK_HOME_DEFAULT "."},
	[TK_OPT_JSON] = {"json", 0, NULL, NULL, false, false, "Print one JSON document on standard output, and nothing else there."},
	[TK_OPT_PROGRESS] = {"progress", 0, "WHEN", "auto|never|json", false, false,
		"Progress on standard error: auto draws a bar on a terminal, json writes lines of JSON."},
	[TK_OPT_VERBOSE] = {"verbose", 'v', NULL, NULL, true, false, "Say more; twice: say everything."},
	[TK_OPT_QUIET] = {"quiet", 'q', NULL, NULL, false, false, "Say nothing but errors."},
	[TK_OPT_PASSPHRASE_FILE] = {"passphrase-file", 0, "FILE", NULL, false, false,
		"Read the passphrase from the first line of FILE; - is standard input."},
	[TK_OPT_HELP] = {"help", 'h', NULL, NULL, false, false, "Print help and end."},
	[TK_OPT_SITE] = {"site", 0, "NAME", NULL, true, true, "Only this site; may be repeated."},
	[TK_OPT_SITE_NEW] = {"site", 0, "NAME=URL", NULL, true, false,
		"A site: dir:/path is a vault in a directory, which is created; tk://host:port is a twinkeepd. May be repeated."},
	[TK_OPT_SITE_URL] = {"site", 0, "URL", NULL, false, false, "The site to recover from: dir:/path or tk://host:port."},
	[TK_OPT_DATASET_NEW] = {"dataset", 0, "NAME=PATH[,PATH...]", NULL, true, false, "A dataset and what it protects; may be repeated."},
	[TK_OPT_DATASET] = {"dataset", 0, "NAME", NULL, false, false, "Make the keys of this dataset, a section of which was added to the configuration."},
	[TK_OPT_POLICY] = {"policy", 0, "FILE", NULL, false, false,
		"The policy of the datasets: a file, or the name of a ready-made one, such as documents or population."},
	[TK_OPT_SUITE] = {"suite", 0, "SUITE", "aes|chacha|gm", false, false,
		"The cryptographic suite: aes (AES-256-GCM, the default), chacha (ChaCha20-Poly1305), gm (SM4, SM3, SM2)."},
	[TK_OPT_DRY_RUN] = {"dry-run", 'n', NULL, NULL, false, false, "Find out what would be done; store and send nothing."},
	[TK_OPT_TARGET] = {"target", 0, "DIR", NULL, false, false, "Where to restore to; created if it is not there."},
	[TK_OPT_PATH] = {"path", 0, "PATH", NULL, true, false, "Only this file or directory; may be repeated."},
	[TK_OPT_DELETE] = {"delete", 0, NULL, NULL, false, false, "Remove what the point does not have from the directories that are restored."},
	[TK_OPT_TAR] = {"tar", 0, NULL, NULL, false, false, "Write a tar stream (pax; holes as GNU sparse 1.0) to standard output instead of files."},
	[TK_OPT_STRIP] = {"strip", 0, NULL, NULL, false, false,
		"Put the content of the dataset's only root straight into the target, instead of at its full path below it."},
	[TK_OPT_DATA] = {"data", 0, NULL, NULL, false, false, "Read and check every blob too."},
	[TK_OPT_SAMPLE] = {"sample", 0, "PERCENT", NULL, false, false, "Read and check so many of a hundred blobs, chosen at random."},
	[TK_OPT_REPORT] = {"report", 0, "FILE", NULL, false, false, "Write the drill's report to FILE."},
	[TK_OPT_EXPECT] = {"expect", 0, "POINT", NULL, false, false, "The point that must be the latest: the digest that was noted down."},
	[TK_OPT_HISTORY] = {"history", 0, "EPOCH", NULL, false, false, "Which history is meant when two are open."},
	[TK_OPT_NEW_PASSPHRASE_FILE] = {"new-passphrase-file", 0, "FILE", NULL, false, false,
		"Read the new passphrase from the first line of FILE; --passphrase-file is for the one that there is."},
	[TK_OPT_OUTPUT] = {"output", 0, "FILE", NULL, false, false, "Where to write it; default NAME.invite in the home."},
	[TK_OPT_LISTEN] = {"listen", 0, "ADDRESS:PORT", NULL, true, false,
		"Where the site's daemon listens: [::1]:7443 for IPv6, port 0 for any; may be repeated; default :7443, which is every address, IPv4 and IPv6."},
	[TK_OPT_FORCE] = {"force", 0, NULL, NULL, false, false, "Do it although something speaks against it; what does is told."},
	[TK_OPT_VAULT] = {"vault", 0, "DIR", NULL, false, false, "Where the site stores; default vault in its home."},
};

#define BIT(name) TK_OPT_BIT(TK_OPT_##name)
#define RESERVED(name, operands, summary) {name, operands, summary, NULL, 0, 0, 0, -1, true, NULL}

const struct tk_verb tk_verbs[] = {
	{"init", "", "make keys and a configuration",
		"Makes the keys of this node and of each dataset, and writes a commented twinkeep.conf into the home. A passphrase is asked for: it is "
		"what an empty machine needs to become this source again, so keep it where this machine's loss does not reach.\n\n"
		"The vault of a dir: site is created. A twinkeepd is enrolled with \"twinkeep site enrol\".",
		BIT(SITE_NEW) | BIT(DATASET_NEW) | BIT(POLICY) | BIT(SUITE), BIT(SITE_NEW) | BIT(DATASET_NEW), 0, 0, false, tk_verb_init},
	{"backup", "[DATASET...]", "make a recovery point",
		"One run for each dataset (default: all): finds what changed, seals it, ships it to every site at once, and ends when the policy's "
		"ack rule is met. Meant for cron: it needs no passphrase.\n\n"
		"A dataset that has become empty is warned of by each run until it is not, as is one with less than half the files of the point before, once; the point is made all the same.",
		BIT(SITE) | BIT(DRY_RUN), 0, 0, -1, false, tk_verb_backup},
	{"list", "[DATASET]", "list recovery points",
		"Shows each point with its time, epoch, sequence, sizes, the sites that hold it, and when it was last found whole; also those of a dataset that was taken out of "
		"the configuration, which restore takes by its name as before.\n\n"
		"VERIFIED counts what this home verified, each point at each site for itself: a date is the oldest of the sites' that hold the point. \"IN DOUBT at\" names sites "
		"where a verification of this point, alone or with others, found damage and none as thorough has found it whole since.",
		BIT(SITE) | BIT(HISTORY), 0, 0, 1, false, tk_verb_list},
	{"ls", "DATASET[@POINT] [PATH]", "list the files of a point",
		"One line an entry, as ls -l writes it: of everything, or of PATH and what is below it. PATH is absolute.",
		BIT(SITE) | BIT(HISTORY), 0, 1, 2, false, tk_verb_ls},
	{"diff", "DATASET@POINT DATASET@POINT", "show what differs between two points",
		"Reads only the pages in which the two points differ. A line begins with + (added), - (removed), M (the content differs) or m (only "
		"the metadata differs; which, stands behind the path).",
		BIT(SITE) | BIT(HISTORY), 0, 2, 2, false, tk_verb_diff},
	{"cat", "DATASET[@POINT] PATH", "write a file of a point to standard output",
		"What is written was checked first; a file of more than a segment (64 MiB) is checked and written segment by segment. Needs the passphrase.",
		BIT(SITE) | BIT(HISTORY), 0, 2, 2, false, tk_verb_cat},
	{"restore", "DATASET[@POINT]", "bring back files",
		"POINT is latest (the default), the first digits of an id, or a time such as 2026-11-24T03:00, which means the last point that was "
		"complete by then; a day, 2026-11-23, means the last one of it. Where the clock was set back in between, a time names no point. Each root of the dataset comes back at its full path below the target. What is there already is used: only what "
		"differs is fetched, from all sites that answer. The run ends with the digest of the tree, which must be that of the point.\n\n"
		"What no site can give is left out, and the rest comes back: a line for each pack that is lost or damaged, with the number of files that need it; -v names "
		"each of them, --json the first 1000. The exit status is then 5.\n\n"
		"Give either --target or --tar.",
		BIT(TARGET) | BIT(PATH) | BIT(SITE) | BIT(DELETE) | BIT(TAR) | BIT(STRIP) | BIT(HISTORY), 0, 1, 1, false, tk_verb_restore},
	{"verify", "[DATASET[@POINT]]", "check what the sites store",
		"Checks at each site, with this home's keys: the points, their pages up to the signed digest, and that all they refer to is there; with "
		"--data every blob that a point uses or brought is read too and its tag checked, which proves each byte to be the one that was sealed, with "
		"--sample a share of them. Each damaged thing is named, with the files that need it: points and pages first, then data in the order of its packs. The rest is "
		"still checked. The next backup reads all files and stores anew what of it is still here, so that its point is whole; older points stay as they are at that site, and "
		"restore takes them from the others. To heal a site, make its vault anew (site invite, site readmit).\n\n"
		"Damage anywhere gives exit status 5. Without damage, a site that does not answer gives 7: what was not looked at is not known to be whole.",
		BIT(SITE) | BIT(DATA) | BIT(SAMPLE) | BIT(HISTORY), 0, 0, 1, false, tk_verb_verify},
	{"drill", "DATASET", "prove that a dataset can be restored",
		"A timed, verified restore into a scratch directory; then the policy's check command runs in it. The report compares what was "
		"measured with the policy's rpo and rto.",
		BIT(SITE) | BIT(REPORT), 0, 1, 1, true, NULL},
	{"status", "[DATASET...]", "show how well everything is protected",
		"For each dataset and site: the last point, the lag, the protection against the ack rule, the last verify and drill, alarms. Exit status "
		"4 says that a dataset is not protected: no point, the ack rule not met, or no point within the policy's rpo; 7 that no site of a dataset "
		"answers; 6 that this home is fenced: another one writes the dataset, or the last backup was refused as such; 5 that damage was found at a site, "
		"and no verification as thorough has found it mended. Of several the gravest counts: 6, 7, 4, 5. Other alarms are told, with their severity, and leave it 0: "
		"critical are a last backup run that failed (until the rpo is over it leaves 0), a journal that cannot be opened, a certificate that "
		"expired, a site that answers and refuses, and a newest point that is empty while an earlier one was not; warnings are earlier points that fewer sites "
		"hold than the ack rule wants, a site that is silent, was set back or knows nothing of the dataset yet, a certificate that ends within 30 days, a site that was not verified for 30 days or never "
		"since its first receipt, a verification that failed otherwise, a full spool, and possibly-fenced. A newest point from the future (a clock was set) counts as none "
		"within the rpo.\n\n"
		"A site is reachable, UNREACHABLE, REFUSED (it answers, and turns this home away), SET BACK, or disabled (by the configuration; it raises no alarm of its own).\n\n"
		"For a monitor: an exit status other than 0, or severity critical in --json, is critical; severity warning is a warning. The README has the three lines "
		"that say so to Nagios.",
		BIT(SITE), 0, 0, -1, false, tk_verb_status},
	{"recover", "", "turn an empty machine into a source again",
		"Fetches keys and configuration from a site, with nothing but the passphrase, asks every configured site for its latest point, and tells "
		"how many confirm it. Then restore works, and the next backup goes on, in a new epoch.\n\n"
		"On a home that is there, a copy of another or one that was rolled back, it makes this home the writer again: the old state is moved "
		"aside, the configuration stays as it is.\n\n"
		"In a drill, restore from the recovered home and nothing else: its first backup would take the epoch, and the home in production could not back up any more.",
		BIT(SITE_URL) | BIT(EXPECT), BIT(SITE_URL), 0, 0, false, tk_verb_recover},
	{"site list", "", "list the sites",
		"Asks each site of the configuration, and shows whether it answers, whether it knows this source, the incarnation of its vault and the last "
		"receipt it gave.", 0, 0, 0, 0, false, tk_verb_site_list},
	{"site invite", "NAME", "let a twinkeepd join as a site",
		"Makes the key and the certificate of the site, and writes an invitation that holds them: for \"twinkeep site enrol\" on the site's machine. "
		"Needs the passphrase. Send it over a safe channel, and delete it after use.\n\n"
		"For a site in a directory (dir:) that was added to the configuration, it makes the vault there, and no invitation. One that "
		"has given receipts had its vault there: its disk may not be mounted, and a new, empty vault is made with --force only.",
		BIT(OUTPUT) | BIT(FORCE), 0, 1, 1, false, tk_verb_site_invite},
	{"site enrol", "NAME INVITATION", "make a site from an invitation",
		"Run on the site's machine: makes the home of a twinkeepd and its vault, or lets one more source into a home that is there.\n\n"
		"When the disk of a vault was replaced and the home is kept, --force makes a new, empty vault in its place, for a site that the source then readmits.",
		BIT(LISTEN) | BIT(VAULT) | BIT(FORCE), 0, 2, 2, false, tk_verb_site_enrol},
	{"site revoke", "NAME", "take a node's rights at this site away",
		"Run on the site's machine, with --home of its daemon. NAME is a source's name, or its id. A running daemon closes its sessions at once.", 0, 0, 1, 1,
		false, tk_verb_site_revoke},
	{"site readmit", "NAME", "let a site back in that was rolled back or made anew",
		"A vault that was set back, an old disk or an old snapshot, has forgotten what it promised: it takes what it missed, which every backup brings "
		"it from the other sites, but gives no receipts and no votes. On the site's machine, with --home of its daemon, which must be stopped, this lets it promise "
		"again, if what it is known to have promised is there again and it was given everything by enough other sites. A vault in a directory is "
		"readmitted at the source.\n\n"
		"On the source, for a site whose vault was made anew: the key that it shows is accepted, if enough other sites answer to tell of what the old "
		"one promised.\n\n"
		"With --force it is let in all the same, and what spoke against it is told: points that only this site had acknowledged may be missing from it, "
		"and a writer that it elected may be unknown to the others.",
		BIT(FORCE), 0, 1, 1, false, tk_verb_site_readmit},
	{"site rebuild", "NAME", "make a site's index anew from its files",
		"Run on the site's machine, with --home of its daemon, which must be stopped; or at the source for a vault in a directory.", 0, 0, 1, 1, false,
		tk_verb_site_rebuild},
	{"key list", "", "list the key slots", NULL, 0, 0, 0, 0, false, tk_verb_key_list},
	{"key add", "[LABEL]", "add a passphrase, or the keys of a dataset",
		"Asks for a passphrase that there is, then for the new one, which gets a slot of its own, here and at every site. A site that is not reached "
		"gets it with its next backup.\n\n"
		"With --dataset, after a section was added to twinkeep.conf: makes the keys of the new dataset, gives every site a slot that has them, and writes the dataset's "
		"id into its section; then backup stores it. Every site that is enabled must be reached, and there must be one passphrase only, as for \"key rotate\". "
		"What was cut short goes on when it is run again. A section that is put back after it was taken out gets its old keys and points again.",
		BIT(NEW_PASSPHRASE_FILE) | BIT(DATASET), 0, 0, 1, false, tk_verb_key_add},
	{"key remove", "SLOT", "remove a key slot",
		"SLOT is the first digits of an id of \"twinkeep key list\". The slot is removed here and at every site; for a site that "
		"does not answer, run it again later. Copies of it that were made before are not "
		"revoked by this: after a passphrase became known, rotate the keys too.",
		0, 0, 1, 1, false, tk_verb_key_remove},
	{"key rotate", "", "begin new data keys",
		"What is stored from now on is sealed under new keys; what is stored already stays under its old ones. Every site must be reached, since "
		"each must have the slot with the new keys before they are used. There must be one passphrase only: the slot of another one could be written anew "
		"only with it.",
		0, 0, 0, 0, false, tk_verb_key_rotate},
	{"config check", "", "check the configuration",
		"Reads twinkeep.conf and what it includes, and names every mistake (the first 20) with file and line and what to write instead. Where a "
		"brace, a quote or an equal sign is missing, the reading ends: what stands behind it is told when that is mended.",
		0, 0, 0, 0, false, tk_verb_config_check},
	{"version", "", "show the version", NULL, 0, 0, 0, 0, false, tk_verb_version},
	RESERVED("takeover", "DATASET", "become the writing node"),
	RESERVED("switch", "DATASET", "hand the writing over to another node"),
	RESERVED("failback", "DATASET", "give the writing back"),
	RESERVED("history list", "DATASET", "list histories"),
	RESERVED("history choose", "DATASET", "choose between two histories"),
	RESERVED("rejoin", "DATASET", "follow the node that took over"),
	RESERVED("follow", "DATASET", "keep a directory restored to the latest point"),
	RESERVED("hold", "DATASET", "keep points whatever the rules say"),
};
const size_t tk_verb_count = sizeof(tk_verbs) / sizeof(tk_verbs[0]);

const struct tk_exit_status tk_exit_statuses[] = {
	{0, "Done, and protected."},
	{1, "It failed; nothing is claimed."},
	{2, "Wrong usage or configuration."},
	{3, "The point was made, but some files could not be read; each is named."},
	{4, "The point is stored, but the ack rule is not met: which site lacks it, and why, is said."},
	{5, "Verification found damage."},
	{6, "Fenced: another node writes this dataset now."},
	{7, "No site could be reached, or too few for a new epoch; nothing is stored."},
	{8, "The passphrase or key is wrong."},
	{9, "Another run of the dataset holds the lock."},
	{10, "Two histories are open: name one with --history."},
};
const size_t tk_exit_status_count = sizeof(tk_exit_statuses) / sizeof(tk_exit_statuses[0]);

const struct tk_named_text tk_environment[] = {
	{"TWINKEEP_HOME", "The home, unless --home is given."},
	{"TWINKEEP_PASSPHRASE_FILE", "The file whose first line is the passphrase, unless --passphrase-file is given."},
	{"TZ", "The zone of times that are shown, and of times that are given without one."},
};
const size_t tk_environment_count = sizeof(tk_environment) / sizeof(tk_environment[0]);

const struct tk_named_text tk_files[] = {
	{TK_HOME_DEFAULT "/" TK_CONFIG_FILE, "The configuration of the default home; see twinkeep.conf(5)."},
	{TK_STATE_DEFAULT, "Catalog, journal and spool of the default home. Another home keeps them in its directory state."},
	{TK_POLICY_DIR, "The ready-made policies."},
};
const size_t tk_file_count = sizeof(tk_files) / sizeof(tk_files[0]);

bool
tk_verb_has(const struct tk_verb *verb, enum tk_opt opt)
{
	return ((verb->options | TK_OPT_COMMON) & TK_OPT_BIT(opt)) != 0;
}
