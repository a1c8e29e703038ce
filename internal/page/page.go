// Package page has the parts of Peregrine's HTML pages: one style, uPlot, and a
// script that draws charts from data in the page. A page is one file, and needs
// nothing but a browser.
package page

import (
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"io/fs"
	"sync"
)

// assets holds our style and script, and uPlot 1.6.32 (MIT) as its authors ship
// it.
//
//go:embed assets
var assets embed.FS

// Style is that of all pages.
func Style() template.CSS {
	return template.CSS(asset("uPlot.min.css") + "\n" + asset("page.css"))
}

// Script draws the charts whose JSON is in an element with the id "data", and
// leaves them in peregrine.charts by their ids.
func Script() template.JS {
	return template.JS(asset("uPlot.iife.min.js") + "\n" + asset("charts.js"))
}

// asset returns an embedded file, which is there by construction.
func asset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Template is a page around a main part.
type Template struct{ parts func() *template.Template }

// Parse makes a page of a file, which defines the template "main".
func Parse(files fs.FS, name string) Template { return Template{Parts(files, name)} }

// Parts reads a file of templates, which may use those of all pages: "charts", for
// a list of Chart; "hint", which explains their controls; and "facts", for a
// list of structs with a Name and a Value. They are read when the first page is
// written: most runs of the program write none.
func Parts(files fs.FS, name string) func() *template.Template {
	return sync.OnceValue(func() *template.Template {
		t := template.Must(template.ParseFS(assets, "assets/page.html"))
		return template.Must(t.ParseFS(files, name))
	})
}

// Write writes the page with its charts; data is for its main part.
func (t Template) Write(w io.Writer, title string, charts []Chart, data any) error {
	drawn, err := Data(charts)
	if err != nil {
		return err
	}
	return t.parts().ExecuteTemplate(w, "page", struct {
		Title  string
		Style  template.CSS
		Script template.JS
		Data   template.JS
		Main   any
	}{title, Style(), Script(), drawn, data})
}

// Data is charts as JSON, in which < is escaped.
func Data(charts []Chart) (template.JS, error) {
	text, err := json.Marshal(charts)
	return template.JS(text), err
}
