package report

import "html/template"

// Look is the style of the page and its library for charts, for other pages.
func Look() (style template.CSS, script template.JS) {
	return template.CSS(asset("uPlot.min.css") + "\n" + asset("page.css")), template.JS(asset("uPlot.iife.min.js"))
}
