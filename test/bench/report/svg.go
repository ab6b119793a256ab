package report

import (
	"fmt"
	"html"
	"strings"
)

// The picture's measures, in pixels. A ratio of one is unit wide.
const (
	labelWidth = 415
	unit       = 360
	maxRatio   = 1.5
	rowHeight  = 24
	topHeight  = 74
	width      = labelWidth + int(unit*maxRatio) + 110
)

// bar is a row of the picture: a ratio at which less is better.
type bar struct {
	label            string
	ratio, low, high float64
	bound            float64
	met              bool
}

// bars turns verdicts into rows. What has to be at least something is turned over, so
// that shorter is better everywhere.
func bars(verdicts []Verdict) []bar {
	var rows []bar
	for _, v := range verdicts {
		b := bar{v.label(), v.Ratio.Value, v.Ratio.Low, v.Ratio.High, v.Bound, v.Met()}
		if v.AtLeast {
			b.label += " (time for one)"
			b.ratio, b.low, b.high, b.bound = 1/b.ratio, 1/v.Ratio.High, 1/v.Ratio.Low, 1/b.bound
		}
		rows = append(rows, b)
	}
	return rows
}

// SVG is a picture of Berth's ratios, with their intervals and targets.
func (r *Result) SVG() string {
	rows := bars(r.verdicts(Subject))
	height := topHeight + len(rows)*rowHeight + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" `, width, height, width, height)
	b.WriteString(`font-family="system-ui, sans-serif" font-size="13" fill="#1b1f24">` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	text(&b, 16, 26, "start", "font-size=\"17\" font-weight=\"600\"", "Berth compared with containerd's CRI plugin (= 1.0), or with what the row says; shorter is better")
	text(&b, 16, 46, "start", `fill="#57606a"`, r.Machine.Summary()+", "+r.Began.Format("2006-01-02"))
	for _, at := range []float64{0, 0.25, 0.5, 0.75, 1, 1.25} {
		x := position(at)
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s"/>`+"\n", x, topHeight-8, x, height-34, gridColour(at))
		text(&b, x, height-16, "middle", `fill="#57606a"`, fmt.Sprint(at))
	}
	for n, row := range rows {
		drawRow(&b, topHeight+n*rowHeight, row)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawRow(b *strings.Builder, y int, row bar) {
	colour := "#2da44e"
	if !row.met {
		colour = "#d4a72c"
	}
	middle := y + rowHeight/2
	text(b, labelWidth-10, middle+4, "end", "", row.label)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="2" fill="%s"/>`+"\n",
		labelWidth, y+5, max(1, position(row.ratio)-labelWidth), rowHeight-10, colour)
	fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#1b1f24"/>`+"\n", position(row.low), middle, position(row.high), middle)
	// The target: a mark that the bar has to end before.
	x := position(row.bound)
	fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#cf222e" stroke-width="2"/>`+"\n", x, y+2, x, y+rowHeight-2)
	text(b, max(position(row.ratio), position(row.high), x)+8, middle+4, "start", `font-weight="600"`, ratio(row.ratio))
}

func position(ratio float64) int { return labelWidth + int(unit*min(max(ratio, 0), maxRatio)) }

func gridColour(at float64) string {
	if at == 1 {
		return "#57606a"
	}
	return "#d8dee4"
}

func text(b *strings.Builder, x, y int, anchor, style, content string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, style, html.EscapeString(content))
}
