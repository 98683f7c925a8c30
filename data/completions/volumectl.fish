# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of volumectl for fish: the program says what can follow, this only asks it.

function __volumectl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command $words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path "$current"
        else
            printf '%s\n' $line
        end
    end
end

complete -c volumectl -f -a '(__volumectl_complete)'
