-- SPDX-License-Identifier: LGPL-2.1-or-later
-- For wrk: attachments of the volumes that are named in turn, to the machine named first.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local volumes, turn = {}, 0

function init(arguments)
	wrk.body = string.format('{"vm_id":"%s"}', table.remove(arguments, 1))
	volumes = arguments
end

function request()
	turn = turn % #volumes + 1
	return wrk.format(nil, "/api/v1/volumes/" .. volumes[turn] .. "/attach")
end
