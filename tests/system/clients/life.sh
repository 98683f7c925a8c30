#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A volume's life with curl and jq, as life.py has it: by the OpenAPI document alone.
#
#	life.sh http://127.0.0.1:8090
set -u -o pipefail
url=$1
GIB=$((1 << 30))
own=""          # the operations that this program has begun

fail() {
	printf 'life.sh: %s\n' "$*" >&2
	exit 1
}

document=$(curl -sS "$url/api/v1/openapi.json") || fail "no document at $url"
# Of each operation its verb, its path, the arguments there and in the query, and whether it takes a body.
operations=$(jq -c '[.paths | to_entries[] | .key as $path | .value | to_entries[] | .key as $verb | .value
	| {key: .operationId, value: {verb: ($verb | ascii_upcase), path: $path, body: (.requestBody != null),
		in_path: [.parameters // [] | .[] | select(.in == "path").name],
		in_query: [.parameters // [] | .[] | select(.in == "query").name]}}] | from_entries' <<<"$document")

# call NAME [ARGUMENT=VALUE...]: the answer of an operation of the document. Each VALUE is JSON, or a plain text.
call() {
	local name=$1 arguments row verb path body answer status
	shift
	arguments=$(printf '%s\n' "$@" | jq -Rn '[inputs | select(length > 0) | capture("^(?<key>\\w+)=(?<value>.*)$")
		| .value as $text | .value = (try ($text | fromjson) catch $text)] | from_entries')
	# The verb, the target with its arguments filled in, and the body, "-" if there is none.
	row=$(jq -r --arg name "$name" --argjson given "$arguments" '.[$name]
		| .path as $path | .in_path as $in_path | [.in_query[] | select($given[.] != null)] as $in_query
		| .verb,
		  (reduce .in_path[] as $n ($path; sub("\\{" + $n + "\\}"; $given[$n] | tostring | @uri))
		   + if $in_query == [] then "" else "?" + ([$in_query[] | . + "=" + ($given[.] | tostring | @uri)] | join("&")) end),
		  (if .body then $given | delpaths([$in_path[] | [.]]) | tojson else "-" end)
		' <<<"$operations")
	{ read -r verb; read -r path; IFS= read -r body; } <<<"$row"
	[ "$body" = - ] && body=() || body=(-H 'Content-Type: application/json' -d "$body")
	answer=$(curl -sS -X "$verb" -w '\n%{http_code}' "${body[@]}" "$url$path") || fail "$name: no answer"
	status=${answer##*$'\n'}
	answer=${answer%$'\n'*}
	[ "$status" -lt 400 ] || fail "$name: $(jq -r .error <<<"$answer")"
	printf '%s\n' "$answer"
}

# Reads events until an operation that fits the jq condition has ended, and prints it.
ended() {
	local line kind="" found
	while IFS= read -r line <&"$events"; do
		case $line in
		"event: "*) kind=${line#event: } ;;
		"data: "*)
			[ "$kind" != resync ] || fail "events are missing"
			[[ $kind = operation && $line = *'"ended"'* ]] || continue
			found=$(jq -c --arg own "$own" "select(.change == \"ended\") | .operation | select($1)" <<<"${line#data: }")
			[ -n "$found" ] || continue
			[ "$(jq -r .status <<<"$found")" = completed ] || fail "$(jq -r .error <<<"$found")"
			printf '%s\n' "$found"
			return
			;;
		esac
	done
	fail "the stream of events has ended"
}

# change NAME [ARGUMENT=VALUE...]: begins a change; $response is what its operation has led to.
change() {
	local id
	id=$(call "$@" | jq -r .id) || exit 1
	own="$own $id"
	response=$(ended ".id == \"$id\"" | jq -c .response) || exit 1
}

exec {events}< <(exec curl -sSN "$url$(jq -r '."event.stream".path' <<<"$operations")")
curl_pid=$!
trap 'kill "$curl_pid" 2>/dev/null' EXIT
read -r _ <&"$events" || fail "no events"       # the stream is open: nothing after this is missed

offering=$(call offering.list | jq -r 'first(.offerings[] | select(.size == 0)).id') || exit 1
here=$(call vm.list | jq -r 'first(.vms[] | select(.is_appliance)).id') || exit 1
zone=$(call zone.list | jq -r '.zones[0].id') || exit 1
change volume.create name=life "size=$GIB" "disk_offering_id=$offering" "zone_id=$zone"
volume=$(jq -r .volume_id <<<"$response")
echo "created $volume"
change volume.attach "volume_id=$volume" "vm_id=$here"
echo "attached $(jq -r .device_path <<<"$response")"
echo "device $(call volume.device "volume_id=$volume" | jq -r .device_path)"
echo "export $(call export.get "volume_id=$volume" | jq -r '"\(.export_name) \(.port)"')"
change volume.resize "volume_id=$volume" "size=$((2 * GIB))"
echo "resized $(jq -r .size <<<"$response")"

echo ready
other=$(ended ".volume_id == \"$volume\" and (.id as \$id | \$own | contains(\$id) | not)") || exit 1
first=$(call operation.history "operation_id=$(jq -r .id <<<"$other")" | jq -c '.history[0]') || exit 1
echo "changed $(jq -r .type <<<"$other") $(jq -r '"\(.caller.surface) \(.asked_by)"' <<<"$first")"

change volume.detach "volume_id=$volume"
echo "detached $(jq -r .device_path <<<"$response")"
change volume.delete "volume_id=$volume"
echo "deleted $(jq -r .volume_id <<<"$response")"
