# SPDX-License-Identifier: MIT
# Medians of what `run --before` has seen, as a table and as bars: an earlier executable of ours, today's, and C.
function median(file, who,    values, count, line, part, i, j, value) {
    count = 0
    while ((getline line < file) > 0) {
        split(line, part, " ")
        if (part[1] == who)
            values[++count] = part[2] + 0
    }
    close(file)
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && values[j] < values[j - 1]; j--) {
            value = values[j]; values[j] = values[j - 1]; values[j - 1] = value
        }
    return values[int((count + 1) / 2)]
}

function bar(y, value, most, colour, name) {
    printf "<rect x=\"330\" y=\"%d\" width=\"%.1f\" height=\"12\" ", y, 300 * value / most > svg
    printf "fill=\"%s\"/>", colour > svg
    printf "<text x=\"%.1f\" y=\"%d\">%s %s</text>\n", 336 + 300 * value / most, y + 11, name, value > svg
}

BEGIN {
    split("exec to HELLO, ms|exec to HELLO: CPU, ms|RSS after HELLO, MB|PSS after HELLO, MB|" \
        "instructions: ADD and REMOVE, real port|instructions: ADD and REMOVE, NO_PORT_MAP|" \
        "instructions: Request, Accept, Ack|instructions: QUERY with its peer, REMOVE", what, "|")
    md = out "/before.md"; svg = out "/before.svg"
    print "# Before, now, and C\n" > md
    print "Written by `make bench BENCH='--before EXECUTABLE'`; README.md says what the rows mean.\n" > md
    print "![start, memory and instructions](before.svg)\n" > md
    print "| what | before | now | C | now to before | now to C |\n|---|---|---|---|---|---|" > md
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"450\"" > svg
    print "font-family=\"sans-serif\" font-size=\"11\">" > svg
    print "<rect width=\"760\" height=\"450\" fill=\"white\"/>" > svg
    for (i = 1; i <= 8; i++) {
        seen = out "/seen." i
        before = median(seen, "before"); now = median(seen, "now"); c = median(seen, "C")
        printf "| %s | %s | %s | %s ", what[i], before, now, c ? c : "-" > md
        printf "| %.2f | %s |\n", now / before, c ? sprintf("%.2f", now / c) : "-" > md
        most = before > now ? before : now
        most = most > c ? most : c
        y = 10 + (i - 1) * 55
        printf "<text x=\"320\" y=\"%d\" text-anchor=\"end\">%s</text>\n", y + 27, what[i] > svg
        bar(y, before, most, "#9ab", "before")
        bar(y + 15, now, most, "#258", "now")
        if (c)
            bar(y + 30, c, most, "#c84", "C")
    }
    print "</svg>" > svg
}
