-- SPDX-License-Identifier: MIT
-- Wireshark and tshark: the iWARP port mapper protocol, between port mappers (UDP port 3935) and between the kernel and
-- its port mapper (RDMA netlink, as captured from an nlmon device). Filters: iwpm.* and, for netlink, iwpm.nl.*

local iwpm = Proto("iwpm", "iWARP Port Mapper")
-- They are called for a message of RDMA netlink, and for a frame of any netlink.
local message = Proto("iwpm_netlink", "iWARP Port Mapper over netlink")
local frame = Proto("iwpm_nlmon", "iWARP Port Mapper: what the kernel says about a message")

local fields, experts = iwpm.fields, iwpm.experts

-- Between port mappers, big endian.
local types = { [0] = "Request", "Accept", "Ack", "Reject" }
fields.version = ProtoField.uint8("iwpm.version", "Version", base.DEC, nil, 0xc0)
fields.type = ProtoField.uint8("iwpm.type", "Type", base.DEC, types, 0x30)
fields.ip_version = ProtoField.uint8("iwpm.ip_version", "IP version", base.DEC, nil, 0x0f)
fields.pm_time = ProtoField.uint8("iwpm.pm_time", "PmTime")
fields.reserved = ProtoField.uint16("iwpm.reserved", "Reserved", base.HEX)
fields.ap_port = ProtoField.uint16("iwpm.ap_port", "Port of the accepting peer")
fields.cp_port = ProtoField.uint16("iwpm.cp_port", "Port of the connecting peer")
fields.mapped_port = ProtoField.uint16("iwpm.mapped_port", "Mapped port of the connecting peer")
fields.handle = ProtoField.uint64("iwpm.handle", "AssocHandle", base.HEX)
fields.cp_ip = ProtoField.ipv4("iwpm.cp_ip", "Address of the connecting peer")
fields.cp_ip6 = ProtoField.ipv6("iwpm.cp_ip6", "Address of the connecting peer")
fields.ap_ip = ProtoField.ipv4("iwpm.ap_ip", "Address of the accepting peer")
fields.ap_ip6 = ProtoField.ipv6("iwpm.ap_ip6", "Address of the accepting peer")
fields.mapped_ip = ProtoField.ipv4("iwpm.mapped_ip", "Mapped address of the connecting peer")
fields.mapped_ip6 = ProtoField.ipv6("iwpm.mapped_ip6", "Mapped address of the connecting peer")
fields.stray = ProtoField.bytes("iwpm.stray", "Unused bytes")
fields.copy_of = ProtoField.framenum("iwpm.copy_of", "Copy of")
fields.response_in = ProtoField.framenum("iwpm.response_in", "Answer in", base.NONE, frametype.RESPONSE)
fields.response_to = ProtoField.framenum("iwpm.response_to", "Answer to", base.NONE, frametype.REQUEST)
fields.ack_in = ProtoField.framenum("iwpm.ack_in", "Ack in", base.NONE, frametype.ACK)
fields.ack_to = ProtoField.framenum("iwpm.ack_to", "Ack of", base.NONE, frametype.ACK)
fields.time = ProtoField.relative_time("iwpm.time", "Time since that")

-- Between the kernel and its port mapper, host byte order but for what is in a sockaddr.
local clients = { [2] = "RDMA_NL_IWCM", [3] = "RDMA_NL_C4IW (before Linux 4.6)" }
local REG_PID, ADD_MAPPING, QUERY_MAPPING, REMOVE_MAPPING, REMOTE_INFO = 0, 1, 2, 3, 4
local HANDLE_ERR, MAPINFO, MAPINFO_NUM, HELLO = 5, 6, 7, 8
local operations = {
    [0] = "REG_PID", "ADD_MAPPING", "QUERY_MAPPING", "REMOVE_MAPPING", "REMOTE_INFO", "HANDLE_ERR", "MAPINFO",
    "MAPINFO_NUM", "HELLO",
}
local codes = {
    [0] = "none", [10] = "invalid message", [11] = "no mapping can be made", [12] = "duplicate mapping",
    [13] = "unknown mapping", [14] = "device", [15] = "library", [16] = "rejected by the peer", [17] = "version",
}
local families = { [2] = "IPv4", [10] = "IPv6" }
local controls = { [2] = "NLMSG_ERROR", [3] = "NLMSG_DONE" }
fields.nl_length = ProtoField.uint32("iwpm.nl.length", "Length")
fields.nl_client = ProtoField.uint16("iwpm.nl.client", "Client", base.DEC, clients, 0xfc00)
fields.nl_operation = ProtoField.uint16("iwpm.nl.operation", "Operation", base.DEC, operations, 0x03ff)
fields.nl_control = ProtoField.uint16("iwpm.nl.control", "Type", base.DEC, controls)
fields.nl_flags = ProtoField.uint16("iwpm.nl.flags", "Flags", base.HEX)
fields.nl_sequence = ProtoField.uint32("iwpm.nl.sequence", "Sequence number")
fields.nl_port_id = ProtoField.uint32("iwpm.nl.port_id", "Port id")
fields.nl_from_kernel = ProtoField.bool("iwpm.nl.from_kernel", "From the kernel")
fields.nl_attribute = ProtoField.none("iwpm.nl.attribute", "Attribute")
fields.nl_attribute_length = ProtoField.uint16("iwpm.nl.attribute.length", "Length")
fields.nl_attribute_type = ProtoField.uint16("iwpm.nl.attribute.type", "Type")
fields.nl_request = ProtoField.uint32("iwpm.nl.request", "SEQ")
fields.nl_interface = ProtoField.string("iwpm.nl.interface", "Interface")
fields.nl_device = ProtoField.string("iwpm.nl.device", "Device")
fields.nl_library = ProtoField.string("iwpm.nl.library", "Library")
fields.nl_abi = ProtoField.uint16("iwpm.nl.abi", "ABI version")
fields.nl_error = ProtoField.uint16("iwpm.nl.error", "Error", base.DEC, codes)
fields.nl_no_port_map = ProtoField.bool("iwpm.nl.flags.no_port_map", "No port wanted", 32, nil, 1)
fields.nl_mapping_flags = ProtoField.uint32("iwpm.nl.mapping_flags", "Mapping flags", base.HEX)
fields.nl_sent = ProtoField.uint32("iwpm.nl.sent", "Mappings sent")
fields.nl_accepted = ProtoField.uint32("iwpm.nl.accepted", "Mappings accepted")
fields.nl_local = ProtoField.string("iwpm.nl.local", "Local")
fields.nl_remote = ProtoField.string("iwpm.nl.remote", "Remote")
fields.nl_mapped_local = ProtoField.string("iwpm.nl.mapped_local", "Mapped local")
fields.nl_mapped_remote = ProtoField.string("iwpm.nl.mapped_remote", "Mapped remote")
fields.nl_family = ProtoField.uint16("iwpm.nl.family", "Family", base.DEC, families)
fields.nl_port = ProtoField.uint16("iwpm.nl.port", "Port")
fields.nl_ip = ProtoField.ipv4("iwpm.nl.ip", "Address")
fields.nl_ip6 = ProtoField.ipv6("iwpm.nl.ip6", "Address")
fields.nl_flow = ProtoField.uint32("iwpm.nl.flow", "Flow info", base.HEX)
fields.nl_scope = ProtoField.uint32("iwpm.nl.scope", "Scope id")
fields.nl_result = ProtoField.int32("iwpm.nl.result", "Result")
fields.nl_done_in = ProtoField.framenum("iwpm.nl.done_in", "Taken by the kernel in")
fields.nl_done_to = ProtoField.framenum("iwpm.nl.done_to", "About the message in")

experts.malformed = ProtoExpert.new("iwpm.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
experts.cut = ProtoExpert.new("iwpm.cut", "The capture has only a part of it",
    expert.group.UNDECODED, expert.severity.WARN)
experts.stray_bytes = ProtoExpert.new("iwpm.stray_bytes",
    "Unused bytes are not zero, as rdma-core's daemon leaves them", expert.group.PROTOCOL, expert.severity.NOTE)
experts.family = ProtoExpert.new("iwpm.other_family", "IP version of another family",
    expert.group.PROTOCOL, expert.severity.WARN)
experts.unknown = ProtoExpert.new("iwpm.unknown", "Unknown", expert.group.UNDECODED, expert.severity.NOTE)
experts.unanswered = ProtoExpert.new("iwpm.unanswered", "No answer in this capture",
    expert.group.SEQUENCE, expert.severity.NOTE)
experts.late = ProtoExpert.new("iwpm.late", "The kernel had given up (10 s): such an answer can crash it",
    expert.group.SEQUENCE, expert.severity.WARN)
experts.refused = ProtoExpert.new("iwpm.refused", "The kernel did not take the message",
    expert.group.RESPONSE_CODE, expert.severity.WARN)

-- What goes together. Each message is known by frame and offset; a file that is opened again begins again.
local exchanges, requests, told, asked, seen
local function forget()
    exchanges, requests, told, asked, seen = {}, {}, {}, {}, {}
end
iwpm.init = forget
forget()

local function since(now, before)
    local nanoseconds = math.floor((now - before) * 1e9 + 0.5)
    local seconds = math.floor(nanoseconds / 1e9)
    return NSTime.new(seconds, math.floor(nanoseconds - seconds * 1e9))
end

local function generated(tree, field, value)
    tree:add(field, value):set_generated()
end

-- From a tvb or a range of one.
local function stray(tree, bytes, offset, length)
    if length > 0 and bytes(offset, length):bytes():tohex():find("[^0]") then
        tree:add(fields.stray, bytes(offset, length)):add_proto_expert_info(experts.stray_bytes)
    end
end

-- Seconds after which the same handle means another exchange: rdma-core's daemon uses handles again.
local longest_exchange = 15

-- An exchange has the first frame of each kind, by name.
local function exchange_of(pinfo, kind, key, asked_for)
    local exchange = exchanges[key]
    if kind == "request" and (not exchange or exchange.asked_for ~= asked_for
        or pinfo.rel_ts - exchange.request.time > longest_exchange) then
        exchange = { asked_for = asked_for }
        exchanges[key] = exchange
    end
    if exchange and not exchange[kind] then
        exchange[kind] = { number = pinfo.number, time = pinfo.rel_ts }
    end
    return exchange
end

local function link_exchange(tree, pinfo, kind, exchange)
    if not exchange then
        return
    end
    local request, answer, ack = exchange.request, exchange.answer, exchange.ack
    local first = exchange[kind]
    if first.number ~= pinfo.number then
        generated(tree, fields.copy_of, first.number)
    end
    if kind == "request" then
        if answer then
            generated(tree, fields.response_in, answer.number)
        elseif pinfo.visited then
            tree:add_proto_expert_info(experts.unanswered)
        end
    elseif kind == "answer" then
        generated(tree, fields.response_to, request.number)
        generated(tree, fields.time, since(pinfo.rel_ts, request.time))
        if ack then
            generated(tree, fields.ack_in, ack.number)
        end
    elseif answer then
        generated(tree, fields.ack_to, answer.number)
        generated(tree, fields.time, since(pinfo.rel_ts, answer.time))
    end
end

local function endpoint(address, port)
    return (address:find(":") and "[%s]:%d" or "%s:%d"):format(address, port)
end

local SHORT, LONG = 48, 64

function iwpm.dissector(tvb, pinfo, tree)
    local captured, length = tvb:captured_len(), tvb:reported_len()
    pinfo.cols.protocol = "iWPM"
    local item = tree:add(iwpm, tvb())
    local function malformed(reason)
        item:add_proto_expert_info(experts.malformed, "Malformed: " .. reason)
        pinfo.cols.info = "Malformed: " .. reason
        return captured
    end
    if length ~= SHORT and length ~= LONG then
        return malformed(("its length is %d, neither %d nor %d"):format(length, SHORT, LONG))
    end
    if captured < SHORT then
        item:add_proto_expert_info(experts.cut)
        return captured
    end
    local first = tvb(0, 1)
    local kind, family = first:bitfield(2, 2), first:bitfield(4, 4)
    item:add(fields.version, first)
    item:add(fields.type, first)
    item:add(fields.ip_version, first)
    item:add(fields.pm_time, tvb(1, 1))
    item:add(length == LONG and fields.mapped_port or fields.reserved, tvb(2, 2))
    item:add(fields.ap_port, tvb(4, 2))
    item:add(fields.cp_port, tvb(6, 2))
    item:add(fields.handle, tvb(8, 8))
    if first:bitfield(0, 2) ~= 0 then
        return malformed("its version is not 0")
    end
    if family ~= 4 and family ~= 6 then
        return malformed("its IP version is neither 4 nor 6")
    end
    if length == LONG and kind ~= 0 then
        return malformed(("an %s has %d bytes"):format(types[kind], SHORT):gsub("^an R", "a R"))
    end
    local function address(name, offset)
        local size = family == 4 and 4 or 16
        local range = tvb(offset, size)
        local field = fields[name .. (family == 4 and "_ip" or "_ip6")]
        item:add(field, range)
        if family == 4 then
            stray(item, tvb, offset + size, 16 - size)
        end
        return tostring(family == 4 and range:ipv4() or range:ipv6())
    end
    local cp = endpoint(address("cp", 16), tvb(6, 2):uint())
    local ap = endpoint(address("ap", 32), tvb(4, 2):uint())
    local mapped
    if length == LONG and captured >= LONG then
        mapped = endpoint(address("mapped", 48), tvb(2, 2):uint())
    elseif length == LONG then
        item:add_proto_expert_info(experts.cut)
    elseif tvb(2, 2):uint() ~= 0 then
        item:add_proto_expert_info(experts.stray_bytes)
    end
    if (tostring(pinfo.net_src):find(":") ~= nil) ~= (family == 6) then
        item:add_proto_expert_info(experts.family, "Its IP version is not that of its packet")
    end
    local words = {
        [0] = ("%s (%s) asks for %s"):format(cp, mapped and "mapped to " .. mapped or "not mapped", ap),
        ("for %s: mapped to %s"):format(cp, ap),
        ("for %s: mapped to %s"):format(cp, ap),
        ("for %s: nobody listens at %s"):format(cp, ap),
    }
    pinfo.cols.info = types[kind] .. "  " .. words[kind]
    item:append_text(": " .. types[kind])

    -- In an ICMP error about it: nobody is there, which answers a Request.
    local name = pinfo.in_error_pkt and "answer" or ({ [0] = "request", "answer", "ack", "answer" })[kind]
    if not pinfo.visited then
        local key = tvb(8, 8):bytes():tohex() .. " " .. cp
        seen[pinfo.number] = exchange_of(pinfo, name, key, ap)
    end
    link_exchange(item, pinfo, name, seen[pinfo.number])
    return captured
end

-- Attributes by operation and who says it: name in C, how it is read, its field. Those with a "?" may be missing.
local from_kernel = {
    [REG_PID] = { "SEQ u32 nl_request", "IF_NAME name nl_interface", "IBDEV_NAME name nl_device",
        "ULIB_NAME name nl_library" },
    [ADD_MAPPING] = { "SEQ u32 nl_request", "ADDR address nl_local", "FLAGS? flags nl_mapping_flags" },
    [QUERY_MAPPING] = { "SEQ u32 nl_request", "LOCAL address nl_local", "REMOTE address nl_remote",
        "FLAGS? flags nl_mapping_flags" },
    [REMOVE_MAPPING] = { "SEQ u32 nl_request", "ADDR address nl_local" },
    [MAPINFO] = { "LOCAL address nl_local", "MAPPED address nl_mapped_local", "FLAGS? flags nl_mapping_flags" },
    [MAPINFO_NUM] = { "SEQ u32 nl_request", "SEND_NUM u32 nl_sent" },
    [HELLO] = { "ABI_VERSION u16 nl_abi" },
}
local connection = { "SEQ u32 nl_request", "LOCAL address nl_local", "REMOTE address nl_remote",
    "MAPPED_LOC address nl_mapped_local", "MAPPED_REM address nl_mapped_remote", "ERR u16 nl_error" }
local from_daemon = {
    [REG_PID] = { "SEQ u32 nl_request", "IBDEV_NAME name nl_device", "ULIB_NAME name nl_library", "ULIB_VER u16 nl_abi",
        "PID_ERR u16 nl_error" },
    [ADD_MAPPING] = { "SEQ u32 nl_request", "ADDR address nl_local", "MAPPED_LOC_ADDR address nl_mapped_local",
        "ERR u16 nl_error" },
    [QUERY_MAPPING] = connection,
    [REMOTE_INFO] = connection,
    [HANDLE_ERR] = { "SEQ u32 nl_request", "CODE u16 nl_error" },
    [MAPINFO] = { "ULIB_NAME name nl_library", "ULIB_VER u16 nl_abi" },
    [MAPINFO_NUM] = { "SEQ u32 nl_request", "SEND_NUM u32 nl_sent", "ACK_NUM u32 nl_accepted" },
    [HELLO] = { "ABI_VERSION u16 nl_abi" },
}
local sizes = { u16 = 2, u32 = 4, flags = 4, address = 128, name = 1 }
-- What the kernel waits for, 10 s.
local awaited = { [REG_PID] = true, [ADD_MAPPING] = true, [QUERY_MAPPING] = true }

local function big_endian(tvb)
    return tvb(0, 4):le_uint() ~= tvb:reported_len()
end

local function reader(big)
    return {
        uint = function(range) return big and range:uint() or range:le_uint() end,
        add = function(tree, field, range) return big and tree:add(field, range) or tree:add_le(field, range) end,
    }
end

local function add_header(tree, tvb, read)
    read.add(tree, fields.nl_length, tvb(0, 4))
    if read.uint(tvb(4, 2)) < 16 then
        read.add(tree, fields.nl_control, tvb(4, 2))
    else
        read.add(tree, fields.nl_client, tvb(4, 2))
        read.add(tree, fields.nl_operation, tvb(4, 2))
    end
    read.add(tree, fields.nl_flags, tvb(6, 2))
    read.add(tree, fields.nl_sequence, tvb(8, 4))
    read.add(tree, fields.nl_port_id, tvb(12, 4))
end

-- struct sockaddr_storage: its text, or nil with what is wrong.
local function add_address(tree, field, range, read)
    local family, port, text = read.uint(range(0, 2)), range(2, 2):uint(), nil
    if family == 2 then
        text = endpoint(tostring(range(4, 4):ipv4()), port)
    elseif family == 10 then
        text = endpoint(tostring(range(8, 16):ipv6()), port)
    end
    local item = tree:add(field, range, text or "unknown")
    read.add(item, fields.nl_family, range(0, 2))
    if not text then
        return nil, "an address is neither IPv4 nor IPv6"
    end
    item:add(fields.nl_port, range(2, 2))
    if family == 2 then
        item:add(fields.nl_ip, range(4, 4))
        stray(item, range, 8, range:len() - 8)
    else
        item:add(fields.nl_flow, range(4, 4))
        item:add(fields.nl_ip6, range(8, 16))
        read.add(item, fields.nl_scope, range(24, 4))
        stray(item, range, 28, range:len() - 28)
    end
    return text
end

local readers = {
    u16 = function(tree, field, range, read)
        read.add(tree, field, range(0, 2))
        return read.uint(range(0, 2))
    end,
    u32 = function(tree, field, range, read)
        read.add(tree, field, range(0, 4))
        return read.uint(range(0, 4))
    end,
    flags = function(tree, field, range, read)
        read.add(read.add(tree, field, range(0, 4)), fields.nl_no_port_map, range(0, 4))
        return read.uint(range(0, 4))
    end,
    name = function(tree, field, range)
        local text = range:stringz()
        if #text >= range:len() then
            return nil, "a name has no NUL at its end"
        end
        tree:add(field, range(0, #text + 1), text)
        stray(tree, range, #text + 1, range:len() - #text - 1)
        return text
    end,
    address = add_address,
}

-- The values by name, or nil and what is wrong first.
local function add_attributes(tree, tvb, wanted, read)
    local values, fault = {}, nil
    local offset, length = 16, tvb:captured_len()
    while length - offset >= 4 do
        local size, kind = read.uint(tvb(offset, 2)), read.uint(tvb(offset + 2, 2)) % 0x4000
        if size < 4 or size > length - offset then
            return values, "the length of an attribute is out of bounds"
        end
        local name, optional, how, field = (wanted[kind] or ""):match("^([A-Z_]+)(%??) (%w+) ([%w_]+)$")
        local item = tree:add(fields.nl_attribute, tvb(offset, size))
        item:set_text(name or ("Attribute " .. kind))
        read.add(item, fields.nl_attribute_length, tvb(offset, 2))
        read.add(item, fields.nl_attribute_type, tvb(offset + 2, 2))
        if not name then
            item:add_proto_expert_info(experts.unknown, "An attribute that this message does not have")
        elseif size - 4 < sizes[how] then
            fault = fault or (name .. " is too short")
        else
            local reason
            values[name], reason = readers[how](item, fields[field], tvb(offset + 4, size - 4), read)
            fault = fault or reason
            item:append_text(": " .. tostring(values[name]))
        end
        local padded = math.min(size + -size % 4, length - offset)
        stray(tree, tvb, offset + size, padded - size)
        offset = offset + padded
    end
    stray(tree, tvb, offset, length - offset)
    for _, attribute in ipairs(wanted) do
        local name = attribute:match("^([A-Z_]+) ")
        if name and values[name] == nil then
            fault = fault or (name .. " is missing")
        end
    end
    return values, fault
end

-- Which earlier message this one is about; both get to know each other.
local function request_of(pinfo, operation, is_kernel, client, sequence, values)
    local this = { number = pinfo.number, time = pinfo.rel_ts, operation = operation }
    this.awaited = is_kernel and awaited[operation]
    local name = client .. " " .. operation
    if is_kernel then
        requests[client .. " " .. sequence] = this
        if operation == HELLO or operation == MAPINFO_NUM then
            -- It does not say what it answers, but only one of these is under way.
            this.request = asked[client .. " " .. (operation == HELLO and HELLO or MAPINFO)]
        end
    else
        asked[name] = this
        if operation ~= REMOTE_INFO and values.SEQ then
            this.request = requests[client .. " " .. values.SEQ]
        end
    end
    if this.request and not this.request.answer then
        this.request.answer = this
    end
    return this
end

local function link_request(tree, pinfo, this)
    if this.answer then
        generated(tree, fields.response_in, this.answer.number)
    elseif this.awaited and pinfo.visited then
        tree:add_proto_expert_info(experts.unanswered)
    end
    if this.request then
        local time = pinfo.rel_ts - this.request.time
        generated(tree, fields.response_to, this.request.number)
        generated(tree, fields.time, since(pinfo.rel_ts, this.request.time))
        if this.request.awaited and time >= 10 then
            tree:add_proto_expert_info(experts.late)
        end
    end
    if this.done then
        generated(tree, fields.nl_done_in, this.done)
    end
end

local function describe(operation, values)
    local words = { operations[operation] }
    local function say(text, ...)
        if ... ~= nil then
            words[#words + 1] = text:format(...)
        end
    end
    local from, to = values.ADDR or values.LOCAL, values.MAPPED_LOC_ADDR or values.MAPPED_LOC or values.MAPPED
    say("%s", values.IBDEV_NAME)
    say("%s", from)
    say("mapped to %s", to)
    say("to %s", values.REMOTE)
    say("mapped to %s", values.MAPPED_REM)
    say("no port wanted", (values.FLAGS or 0) % 2 == 1 or nil)
    say("ABI %d", values.ABI_VERSION or values.ULIB_VER)
    say("%d sent", values.SEND_NUM)
    say("%d accepted", values.ACK_NUM)
    local code = values.CODE or values.ERR or values.PID_ERR
    if code and code ~= 0 then
        say("error %d (%s)", code, codes[code] or "unknown")
    end
    return table.concat(words, ", ")
end

local function key_of(pinfo, tvb)
    return pinfo.number .. " " .. tvb:offset()
end

function message.dissector(tvb, pinfo, tree)
    local captured = tvb:captured_len()
    if captured < 16 then
        return 0
    end
    local read = reader(big_endian(tvb))
    local kind = read.uint(tvb(4, 2))
    local client, operation = math.floor(kind / 1024), kind % 1024
    if not clients[client] then
        return 0
    end
    local sequence, port_id = read.uint(tvb(8, 4)), read.uint(tvb(12, 4))
    local is_kernel = port_id == 0
    pinfo.cols.protocol = "iWPM"
    local item = tree:add(iwpm, tvb())
    add_header(item, tvb, read)
    generated(item, fields.nl_from_kernel, is_kernel)
    local wanted = (is_kernel and from_kernel or from_daemon)[operation]
    if captured < tvb:reported_len() then
        item:add_proto_expert_info(experts.cut)
        return captured
    end
    local values, fault = {}, nil
    if wanted then
        values, fault = add_attributes(item, tvb, wanted, read)
    else
        fault = "an operation that it does not have"
    end
    local text = (is_kernel and "kernel: " or "port mapper: ") .. (wanted and describe(operation, values) or "unknown")
    if fault then
        item:add_proto_expert_info(experts.malformed, "Malformed: " .. fault)
        text = text .. " (malformed: " .. fault .. ")"
    end
    item:append_text(", " .. text)
    pinfo.cols.info:append((tostring(pinfo.cols.info) == "" and "" or "; ") .. text)

    local key = key_of(pinfo, tvb)
    if not pinfo.visited then
        seen[key] = request_of(pinfo, operation, is_kernel, client, sequence, values)
        if not is_kernel then
            told[port_id .. " " .. sequence] = seen[key]
        end
    end
    link_request(item, pinfo, seen[key])
    return captured
end

-- The kernel ends each message that it was sent with an NLMSG_DONE or NLMSG_ERROR, which Wireshark keeps to itself.
local COOKED = 16
local netlink = DissectorTable.get("wtap_encap"):get_dissector(wtap.NETLINK)

local function add_result(tvb, pinfo, tree, read)
    local length = tvb:captured_len()
    if length < 20 then
        return
    end
    local result = read.uint(tvb(16, 4))
    result = result >= 0x80000000 and result - 0x100000000 or result
    local item = tree:add(iwpm, tvb())
    add_header(item, tvb, read)
    read.add(item, fields.nl_result, tvb(16, 4))
    if not pinfo.visited then
        local about = told[read.uint(tvb(12, 4)) .. " " .. read.uint(tvb(8, 4))]
        if about then
            about.done, seen[key_of(pinfo, tvb)] = about.done or pinfo.number, about
        end
    end
    local about = seen[key_of(pinfo, tvb)]
    if not about then
        return
    end
    generated(item, fields.nl_done_to, about.number)
    generated(item, fields.time, since(pinfo.rel_ts, about.time))
    -- A REMOTE_INFO is answered so even when it was taken.
    if result ~= 0 and not (about.operation == REMOTE_INFO and result == -22) then
        item:add_proto_expert_info(experts.refused)
    end
    local text = ("kernel: end of %s, result %d"):format(operations[about.operation] or "unknown", result)
    item:append_text(", " .. text)
    pinfo.cols.protocol = "iWPM"
    pinfo.cols.info = text
end

function frame.dissector(tvb, pinfo, tree)
    netlink:call(tvb, pinfo, tree)
    local captured = tvb:captured_len()
    if captured < COOKED + 16 or tvb(COOKED - 2, 2):uint() ~= 20 then
        return captured
    end
    local offset = COOKED
    while captured - offset >= 16 do
        local big = tvb(offset + 2, 2):le_uint() ~= 0
        local read = reader(big)
        local length, kind = read.uint(tvb(offset, 4)), read.uint(tvb(offset + 4, 2))
        if length < 16 or length > captured - offset then
            break
        end
        if controls[kind] then
            add_result(tvb(offset, length):tvb(), pinfo, tree, read)
        end
        offset = offset + length + -length % 4
    end
    return captured
end

DissectorTable.get("udp.port"):add(3935, iwpm)
DissectorTable.get("netlink.protocol"):add(20, message)
DissectorTable.get("wtap_encap"):add(wtap.NETLINK, frame)
