// Package house has tests of the source tree itself: that what documents and comments name exists,
// and who imports whom.
package house
