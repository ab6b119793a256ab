package users

import "strconv"

// NeedsFiles is true where spec cannot be resolved without the image's files.
// A number needs them too in most cases (primary group, home directory,
// groups); what never does is a strict request of plain numbers, for which
// Lookup may be called with a nil root.
func NeedsFiles(spec UserSpec) bool {
	return spec.UserMustBeName || !spec.Strict || !isNumber(spec.User) || spec.Group == "" || !isNumber(spec.Group)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return s == "" || err == nil
}
