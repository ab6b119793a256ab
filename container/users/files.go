package users

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/budget"
)

const (
	passwdPath = "/etc/passwd"
	groupPath  = "/etc/group"
)

// database is the image's passwd and group file. Each question reads a file once, from its first line to
// its last: the cost of an answer grows with the size of the files, whatever stands in them.
type database struct {
	ctx  context.Context
	root FS
}

// entry is a line of either file that is not empty: its first fields, cut at colons (passwd(5), group(5)).
type entry [][]byte

// fields is in how many parts a line is cut: the four fields that are looked at, and the rest of the line.
const fields = 5

// field is the text of a field, empty where the line has no such field.
func (e entry) field(n int) string {
	if n >= len(e) {
		return ""
	}
	return string(e[n])
}

// id is the number in a field; false where the field is missing or is no ID that the kernel has.
func (e entry) id(n int) (uint32, bool) {
	if n >= len(e) {
		return 0, false
	}
	id, err := strconv.Atoi(string(e[n]))
	return uint32(id), err == nil && id >= 0 && id < math.MaxUint32 // the last one means "no ID"
}

// looks is how many lines are read between two looks at the context.
const looks = 1024

// lists reports whether a line of the group file names a user as a member.
func (e entry) lists(user string) bool {
	if len(e) < 4 {
		return false
	}
	for member := range bytes.SplitSeq(e[3], []byte(",")) {
		if string(member) == user {
			return true
		}
	}
	return false
}

// scan calls visit for every line of a file until visit returns false. A missing file has no lines. The entry is
// valid until the next call of visit.
func (db *database) scan(path string, visit func(entry) bool) error {
	if db.root == nil {
		return nil
	}
	file, err := db.root.Open(path, budget.UserFile)
	if errors.Is(err, fs.ErrNotExist) || errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, budget.UserLine+len("\r\n"))
	for n := 0; lines.Scan(); n++ {
		if n%looks == 0 && db.ctx.Err() != nil {
			return context.Cause(db.ctx)
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) > budget.UserLine {
			return fmt.Errorf("a line of %s is longer than %d bytes: %w", path, budget.UserLine, errdefs.ErrInvalidArgument)
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if !visit(bytes.SplitN(line, []byte(":"), fields)) {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line of %s is longer than %d bytes: %w", path, budget.UserLine, errdefs.ErrInvalidArgument)
	}
	return lines.Err()
}

// findUser finds the first line with that name or, for a number, with that UID.
func (db *database) findUser(name string, id uint32, numeric bool) (Resolved, bool, error) {
	var found entry
	err := db.scan(passwdPath, func(e entry) bool {
		if numeric {
			uid, ok := e.id(2)
			if ok && uid == id && e.field(0) != "" {
				found = e
			}
		} else if e.field(0) == name {
			found = e
		}
		return found == nil
	})
	if found == nil || err != nil {
		return Resolved{}, false, err
	}
	uid, okU := found.id(2)
	gid, okG := found.id(3)
	if !okU || !okG {
		return Resolved{}, false, fmt.Errorf("the line of user %q in %s has no valid UID and GID: %w", found.field(0), passwdPath, errdefs.ErrInvalidArgument)
	}
	return Resolved{UID: uid, GID: gid, Name: found.field(0)}, true, nil
}

// findGroup finds the first group with that name.
func (db *database) findGroup(name string) (gid uint32, found bool, err error) {
	valid := false
	err = db.scan(groupPath, func(e entry) bool {
		if found = e.field(0) == name; found {
			gid, valid = e.id(2)
		}
		return !found
	})
	if err == nil && found && !valid {
		err = fmt.Errorf("the line of group %q in %s has no valid GID: %w", name, groupPath, errdefs.ErrInvalidArgument)
	}
	return gid, found && err == nil, err
}

// groupsOf are the GIDs of all groups that list the user, in the order of the file and each once.
// Lines without a valid GID give no group.
func (db *database) groupsOf(name string) ([]uint32, error) {
	var gids []uint32
	seen := map[uint32]bool{}
	err := db.scan(groupPath, func(e entry) bool {
		gid, ok := e.id(2)
		if ok && !seen[gid] && e.lists(name) {
			seen[gid] = true
			gids = append(gids, gid)
		}
		return true
	})
	return gids, err
}
