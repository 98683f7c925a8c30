# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of volumectl for bash: the program says what can follow, this only asks it.

_volumectl()
{
	local cur prev words cword line
	_init_completion -n =: || return
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			_filedir
			return
		fi
		line=${line%%$'\t'*}
		# Not compgen -W, which would evaluate the $(...) of a volume's name.
		[[ $line == "${cur//\\/}"* ]] && COMPREPLY+=("$(printf %q "$line")")
	done < <("${words[0]}" complete -- "${words[@]:1:cword}" 2>/dev/null)
	__ltrim_colon_completions "$cur"
}

complete -F _volumectl volumectl
