package steps

// Points names the failpoints of an operation, from its plan: OPERATION/STEP/VERB/WHEN,
// with the verbs "do" and "undo", and "before" and "after". An operation that only
// undoes has down set.
func Points(operation string, root Node, down bool) []string {
	var out []string
	add := func(step, verb string) {
		out = append(out, point(operation, step, verb, "before"), point(operation, step, verb, "after"))
	}
	root.each(func(s Step) {
		if s.Do != nil && !down {
			add(s.Name, "do")
		}
		if s.Undo != nil {
			add(s.Name, "undo")
		}
	})
	return out
}

func point(operation, step, verb, when string) string {
	return operation + "/" + step + "/" + verb + "/" + when
}

func (s Step) each(fn func(Step)) { fn(s) }

func (s Seq) each(fn func(Step)) {
	for _, n := range s {
		n.each(fn)
	}
}

func (p Par) each(fn func(Step)) { Seq(p).each(fn) }
