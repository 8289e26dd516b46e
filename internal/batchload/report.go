package batchload

import (
	"encoding/json"
	"regexp"
)

// maxReported bounds the line ranges that a task keeps; further errors are only counted.
const maxReported = 10_000

// errorReport is what goes to the report bucket (api.md, section 10.3).
type errorReport struct {
	TaskID     string       `json:"taskId"`
	TaskErrors []taskError  `json:"taskErrors"`
	FileErrors []fileErrors `json:"fileErrors"`

	ranges int
}

type taskError struct {
	Reason string `json:"reason"`
}

type fileErrors struct {
	FileName string       `json:"fileName"`
	Errors   []lineErrors `json:"errors"`
}

type lineErrors struct {
	Reason     string     `json:"reason"`
	LineRanges [][2]int64 `json:"lineRanges,omitempty"` // inclusive, from 1, the header counted
}

func (e *errorReport) empty() bool { return len(e.TaskErrors) == 0 && len(e.FileErrors) == 0 }

// file notes an error of a whole file.
func (e *errorReport) file(name, reason string) {
	f := e.of(name)
	f.Errors = append(f.Errors, lineErrors{Reason: reason})
}

func (e *errorReport) of(name string) *fileErrors {
	if n := len(e.FileErrors); n > 0 && e.FileErrors[n-1].FileName == name {
		return &e.FileErrors[n-1]
	}
	e.FileErrors = append(e.FileErrors, fileErrors{FileName: name})
	return &e.FileErrors[len(e.FileErrors)-1]
}

// lines notes an error of the lines first to last of a file.
func (e *errorReport) lines(name, reason string, first, last int64) {
	f := e.of(name)
	for i := range f.Errors {
		x := &f.Errors[i]
		if x.Reason != reason || x.LineRanges == nil {
			continue
		}
		if n := len(x.LineRanges); x.LineRanges[n-1][1] == first-1 {
			x.LineRanges[n-1][1] = last
		} else if x.LineRanges[n-1][1] < first && e.ranges < maxReported {
			x.LineRanges = append(x.LineRanges, [2]int64{first, last})
			e.ranges++
		}
		return
	}
	if e.ranges < maxReported {
		f.Errors = append(f.Errors, lineErrors{reason, [][2]int64{{first, last}}})
		e.ranges++
	}
}

func (e *errorReport) json(id string) []byte {
	out := *e
	out.TaskID = id
	if out.TaskErrors == nil {
		out.TaskErrors = []taskError{}
	}
	if out.FileErrors == nil {
		out.FileErrors = []fileErrors{}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return b
}

var bracketed = regexp.MustCompile(`\[[^\])]*\) of`)

// reasonOf words a refused record as batch load does: without the window's ends.
func reasonOf(reason string) string { return bracketed.ReplaceAllString(reason, "of") }
