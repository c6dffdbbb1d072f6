/* verbs.h -- the verbs that this build has; see options.h for what they are given. */
#ifndef TK_CLI_VERBS_H
#define TK_CLI_VERBS_H

#include "cli/options.h"

tk_verb_fn tk_verb_backup;
tk_verb_fn tk_verb_cat;
tk_verb_fn tk_verb_config_check;
tk_verb_fn tk_verb_diff;
tk_verb_fn tk_verb_init;
tk_verb_fn tk_verb_key_add;
tk_verb_fn tk_verb_key_list;
tk_verb_fn tk_verb_key_remove;
tk_verb_fn tk_verb_key_rotate;
tk_verb_fn tk_verb_list;
tk_verb_fn tk_verb_ls;
tk_verb_fn tk_verb_recover;
tk_verb_fn tk_verb_restore;
tk_verb_fn tk_verb_site_enrol;
tk_verb_fn tk_verb_site_invite;
tk_verb_fn tk_verb_site_list;
tk_verb_fn tk_verb_site_readmit;
tk_verb_fn tk_verb_site_rebuild;
tk_verb_fn tk_verb_site_revoke;
tk_verb_fn tk_verb_status;
tk_verb_fn tk_verb_verify;
tk_verb_fn tk_verb_version;

/* Of key add: with --dataset. */
tk_verb_fn tk_key_add_dataset;

#endif
