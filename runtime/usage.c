#include "runtime/usage.h"

#include <string.h>

static bool listed(const struct option_spec *spec)
{
	return spec->kind != OPTION_LATER;
}

static void print_option(FILE *to, const struct option_spec *spec)
{
	char flag[64];
	int width;

	width = snprintf(flag, sizeof flag, "%c%c%s --%s%s%s", spec->letter ? '-' : ' ',
			 spec->letter ? spec->letter : ' ', spec->letter ? "," : " ", spec->name,
			 spec->value ? " " : "", spec->value ? spec->value : "");
	if (width > 30)
		(void)fprintf(to, "  %s\n  %-30s %s", flag, "", spec->help);
	else
		(void)fprintf(to, "  %-30s %s", flag, spec->help);
	if (spec->kind == OPTION_LIST)
		(void)fputs(" (may be repeated)", to);
	(void)fputc('\n', to);
}

static void print_options(FILE *to, const struct option_spec *table)
{
	for (; table && table->name; table++)
		if (listed(table))
			print_option(to, table);
}

static bool has_options(const struct command *command)
{
	return command->options && command->options->name;
}

void usage_print_program(FILE *to, const struct command *const *commands)
{
	(void)fputs("katavm runs each container in its own virtual machine.\n\n"
		    "Usage: katavm [FLAGS] COMMAND ...\n\nCommands:\n",
		    to);
	for (; *commands; commands++)
		if (!(*commands)->hidden)
			(void)fprintf(to, "  %-15s  %s\n", (*commands)->name, (*commands)->summary);
	(void)fputs("\nFlags of every command:\n", to);
	print_options(to, options_common);
	(void)fputs("\nkatavm COMMAND --help tells more.\n", to);
}

void usage_print_command(FILE *to, const struct command *command)
{
	(void)fprintf(to, "Usage: katavm %s [FLAGS]%s%s\n\n%s.\n", command->name,
		      *command->arguments ? " " : "", command->arguments, command->summary);
	if (command->description)
		(void)fprintf(to, "\n%s\n", command->description);
	(void)fputs("\nFlags:\n", to);
	if (has_options(command))
		print_options(to, command->options);
	print_options(to, options_common);
}

/* Text as roff: a dash that is one to be typed, and no line that looks like a request. */
static void put_roff(FILE *to, const char *text)
{
	for (const char *at = text; *at; at++) {
		bool line_start = at == text || at[-1] == '\n';

		if (line_start && (*at == '.' || *at == '\''))
			(void)fputs("\\&", to);
		if (line_start && *at == '\n') /* an empty line divides paragraphs */
			(void)fputs(".PP", to);
		if (*at == '-')
			(void)fputs("\\-", to);
		else if (*at == '\\')
			(void)fputs("\\e", to);
		else
			(void)fputc(*at, to);
	}
}

static void man_options(FILE *to, const struct option_spec *table)
{
	for (; table && table->name; table++) {
		if (!listed(table))
			continue;
		(void)fputs(".TP\n", to);
		if (table->letter)
			(void)fprintf(to, "\\fB\\-%c\\fR, ", table->letter);
		(void)fputs("\\fB\\-\\-", to);
		put_roff(to, table->name);
		(void)fputs("\\fR", to);
		if (table->value)
			(void)fprintf(to, " \\fI%s\\fR", table->value);
		(void)fputc('\n', to);
		put_roff(to, table->help);
		(void)fputs(table->kind == OPTION_LIST ? " (may be repeated).\n" : ".\n", to);
	}
}

static void man_later(FILE *to, const struct option_spec *table)
{
	bool first = true;

	for (; table && table->name; table++) {
		if (listed(table))
			continue;
		if (first)
			(void)fputs(".SH NOT IN THIS RELEASE\nKnown from docker(1) and refused:\n",
				    to);
		first = false;
		(void)fputs(".TP\n\\fB\\-\\-", to);
		put_roff(to, table->name);
		(void)fputs("\\fR\n", to);
		put_roff(to, table->help);
		(void)fputs(".\n", to);
	}
}

static void page_name(const struct command *command, char *out, size_t size)
{
	(void)snprintf(out, size, "katavm-%s", command->name);
	for (char *at = out; *at; at++)
		if (*at == ' ')
			*at = '-';
}

static void man_head(FILE *to, const char *page, const char *summary)
{
	(void)fputs(".TH \"", to);
	put_roff(to, page);
	(void)fputs("\" 1 \"\" \"katavm " KATAVM_VERSION "\" \"katavm\"\n.SH NAME\n", to);
	put_roff(to, page);
	(void)fputs(" \\- ", to);
	put_roff(to, summary);
	(void)fputs("\n.SH SYNOPSIS\n", to);
}

/* The page's name: katavm-volume-create. */
static void put_page(FILE *to, const struct command *command)
{
	char page[64];

	page_name(command, page, sizeof page);
	put_roff(to, page);
}

static void man_program(FILE *to, const struct command *const *commands)
{
	man_head(to, "katavm", "run containers, each in its own virtual machine");
	(void)fputs("\\fBkatavm\\fR [\\fIFLAGS\\fR] \\fICOMMAND\\fR ...\n.SH COMMANDS\n", to);
	for (; *commands; commands++) {
		if ((*commands)->hidden)
			continue;
		(void)fputs(".TP\n\\fB", to);
		put_page(to, *commands);
		(void)fputs("\\fR(1)\n", to);
		put_roff(to, (*commands)->summary);
		(void)fputs(".\n", to);
	}
	(void)fputs(".SH OPTIONS\nOf every command:\n", to);
	man_options(to, options_common);
}

static void man_command(FILE *to, const struct command *command)
{
	char page[64];

	page_name(command, page, sizeof page);
	man_head(to, page, command->summary);
	(void)fprintf(to, "\\fBkatavm %s\\fR [\\fIFLAGS\\fR] ", command->name);
	put_roff(to, command->arguments);
	(void)fputs("\n.SH DESCRIPTION\n", to);
	put_roff(to, command->description ? command->description : command->summary);
	(void)fputs("\n.SH OPTIONS\n", to);
	man_options(to, command->options);
	man_options(to, options_common);
	man_later(to, command->options);
}

void usage_print_man(FILE *to, const struct command *const *commands, const struct command *command,
		     FILE *extra)
{
	char line[512];

	if (command)
		man_command(to, command);
	else
		man_program(to, commands);
	while (extra && fgets(line, sizeof line, extra))
		(void)fputs(line, to);
	if (command)
		(void)fputs(".SH SEE ALSO\n\\fBkatavm\\fR(1)\n", to);
}

static void put_words(FILE *to, const struct option_spec *table)
{
	for (; table && table->name; table++) {
		if (!listed(table))
			continue;
		(void)fprintf(to, " --%s", table->name);
		if (table->letter)
			(void)fprintf(to, " -%c", table->letter);
	}
}

static void bash_choices(FILE *to, const struct option_spec *table)
{
	for (; table && table->name; table++) {
		if (!listed(table) || !table->choices)
			continue;
		(void)fprintf(to, "\t\t--%s) COMPREPLY=($(compgen -W \"", table->name);
		for (const char *at = table->choices; *at; at++)
			(void)fputc(*at == '|' ? ' ' : *at, to);
		(void)fputs("\" -- \"$cur\")); return ;;\n", to);
	}
}

static size_t first_word(const struct command *command)
{
	return strcspn(command->name, " ");
}

/* Is it the first of its group? A command of one word is a group of its own. */
static bool begins_group(const struct command *const *commands, const struct command *const *at)
{
	size_t size = first_word(*at);

	return at == commands || strncmp(at[-1]->name, (*at)->name, size) != 0 ||
	       first_word(at[-1]) != size;
}

static void bash_groups(FILE *to, const struct command *const *commands)
{
	for (const struct command *const *at = commands; *at; at++) {
		size_t size = first_word(*at);

		if ((*at)->name[size] == '\0' || !begins_group(commands, at))
			continue;
		(void)fprintf(to,
			      "\tif [ \"$COMP_CWORD $word\" = \"2 %.*s\" ]; then\n"
			      "\t\tCOMPREPLY=($(compgen -W \"",
			      (int)size, (*at)->name);
		for (const struct command *const *of = at;
		     *of && (of == at || !begins_group(commands, of)); of++)
			(void)fprintf(to, "%s ", (*of)->name + size + 1);
		(void)fputs("--help\" -- \"$cur\"))\n\t\treturn\n\tfi\n", to);
	}
}

static void bash_flags(FILE *to, const struct command *command)
{
	(void)fprintf(to, "\t\"%s\"%s)\n\t\tflags=\"", command->name,
		      command->name[first_word(command)] ? "" : "\\ *");
	put_words(to, command->options);
	put_words(to, options_common);
	(void)fputs("\"\n\t\tcase $prev in\n", to);
	bash_choices(to, command->options);
	(void)fputs("\t\tesac ;;\n", to);
}

/* Bash; zsh reads the same through bashcompinit. */
static void print_bash(FILE *to, const struct command *const *commands)
{
	(void)fputs("_katavm() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} word=${COMP_WORDS[1]}\n"
		    "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]} flags= commands=\"",
		    to);
	for (const struct command *const *at = commands; *at; at++)
		if (!(*at)->hidden && begins_group(commands, at))
			(void)fprintf(to, "%s%.*s", at == commands ? "" : " ", (int)first_word(*at),
				      (*at)->name);
	(void)fputs("\"\n\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$commands --help --root\" -- \"$cur\"))\n"
		    "\t\treturn\n\tfi\n",
		    to);
	bash_groups(to, commands);
	(void)fputs("\tcase \"$word ${COMP_WORDS[2]}\" in\n", to);
	for (const struct command *const *at = commands; *at; at++)
		bash_flags(to, *at);
	(void)fputs("\tesac\n\tcase $cur in\n"
		    "\t-*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
		    "\t*) case $word in\n"
		    "\t\trun|rmi|inspect) COMPREPLY=($(compgen -W "
		    "\"$(katavm images -q 2>/dev/null)\" -- \"$cur\")) ;;\n"
		    "\t\t*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
		    "\tesac ;;\n\tesac\n}\ncomplete -F _katavm katavm\n",
		    to);
}

static void put_quoted(FILE *to, const char *text) /* for fish, in single quotes */
{
	for (; *text; text++)
		(void)fprintf(to, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
}

/* The condition that all words of a command have been typed. */
static void fish_seen(FILE *to, const char *command)
{
	size_t size = strcspn(command, " ");

	(void)fprintf(to, "__fish_seen_subcommand_from %.*s", (int)size, command);
	if (command[size])
		(void)fprintf(to, "; and __fish_seen_subcommand_from %s", command + size + 1);
}

/* How its last word is offered. */
static void fish_command(FILE *to, const struct command *const *commands,
			 const struct command *const *at)
{
	const char *name = (*at)->name;
	size_t size = first_word(*at);

	if (begins_group(commands, at))
		(void)fprintf(to, "complete -c katavm -f -n __fish_use_subcommand -a %.*s -d '",
			      (int)size, name);
	if (begins_group(commands, at) && name[size])
		(void)fputs("a group of commands'\n", to);
	if (name[size])
		(void)fprintf(to,
			      "complete -c katavm -f -n '__fish_seen_subcommand_from %.*s' "
			      "-a %s -d '",
			      (int)size, name, name + size + 1);
	put_quoted(to, (*at)->summary);
	(void)fputs("'\n", to);
}

static void fish_options(FILE *to, const char *command, const struct option_spec *table)
{
	for (; table && table->name; table++) {
		if (!listed(table))
			continue;
		(void)fputs("complete -c katavm -n '", to);
		fish_seen(to, command);
		(void)fprintf(to, "' -l %s", table->name);
		if (table->letter)
			(void)fprintf(to, " -s %c", table->letter);
		if (table->value)
			(void)fputs(" -r", to);
		if (table->choices) {
			(void)fputs(" -f -a '", to);
			for (const char *at = table->choices; *at; at++)
				(void)fputc(*at == '|' ? ' ' : *at, to);
			(void)fputs("'", to);
		}
		(void)fputs(" -d '", to);
		put_quoted(to, table->help);
		(void)fputs("'\n", to);
	}
}

static void print_fish(FILE *to, const struct command *const *commands)
{
	for (const struct command *const *at = commands; *at; at++) {
		if ((*at)->hidden)
			continue;
		fish_command(to, commands, at);
		fish_options(to, (*at)->name, (*at)->options);
		fish_options(to, (*at)->name, options_common);
	}
}

bool usage_print_completion(FILE *to, const struct command *const *commands, const char *shell)
{
	if (strcmp(shell, "bash") == 0) {
		print_bash(to, commands);
	} else if (strcmp(shell, "zsh") == 0) {
		(void)fputs("#compdef katavm\nautoload -U +X bashcompinit && bashcompinit\n", to);
		print_bash(to, commands);
	} else if (strcmp(shell, "fish") == 0) {
		print_fish(to, commands);
	} else {
		return false;
	}
	return true;
}
