package users

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
)

const (
	passwdPath = "/etc/passwd"
	groupPath  = "/etc/group"
)

// MaxFileSize bounds, in bytes, what an image can make the daemon read of either file; a
// hundred thousand users fit.
const MaxFileSize = 16 << 20

// database is the image's passwd and group file, each read at most once.
type database struct {
	root          FS
	passwd, group []byte
	have          struct{ passwd, group bool }
}

// file reads path; a missing file is an empty one.
func (db *database) file(path string, data *[]byte, have *bool) ([]byte, error) {
	if *have || db.root == nil {
		return *data, nil
	}
	read, err := db.root.ReadFile(path, MaxFileSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errdefs.IsNotFound(err) {
		return nil, err
	}
	*data, *have = read, true
	return read, nil
}

// findUser finds the first line with that name or, for a number, that UID.
func (db *database) findUser(name string, id uint32, numeric bool) (Resolved, bool, error) {
	data, err := db.file(passwdPath, &db.passwd, &db.have.passwd)
	if err != nil {
		return Resolved{}, false, err
	}
	found, err := user.ParsePasswdFilter(bytes.NewReader(data), func(u user.User) bool {
		if numeric {
			return u.Uid == int(id) && u.Name != ""
		}
		return u.Name == name
	})
	if err != nil {
		return Resolved{}, false, fmt.Errorf("parsing %s: %w: %w", passwdPath, err, errdefs.ErrInvalidArgument)
	}
	// The library reads what is not a number as 0, which here would mean root.
	found = slices.DeleteFunc(found, func(u user.User) bool {
		return numeric && !hasNumber(data, u.Name, 2, u.Uid)
	})
	if len(found) == 0 {
		return Resolved{}, false, nil
	}
	u := found[0]
	if !hasNumber(data, u.Name, 2, u.Uid) || !hasNumber(data, u.Name, 3, u.Gid) || !inRange(u.Uid) || !inRange(u.Gid) {
		return Resolved{}, false, fmt.Errorf("the line of user %q in %s has no valid UID and GID: %w", u.Name, passwdPath, errdefs.ErrInvalidArgument)
	}
	home := u.Home
	if !strings.HasPrefix(home, "/") {
		home = "/"
	}
	return Resolved{UID: uint32(u.Uid), GID: uint32(u.Gid), Name: u.Name, Home: home}, true, nil
}

// findGroup finds the first group with that name.
func (db *database) findGroup(name string) (uint32, bool, error) {
	found, err := db.groups(func(g user.Group) bool { return g.Name == name })
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	g := found[0]
	if !hasNumber(db.group, g.Name, 2, g.Gid) || !inRange(g.Gid) {
		return 0, false, fmt.Errorf("the line of group %q in %s has no valid GID: %w", name, groupPath, errdefs.ErrInvalidArgument)
	}
	return uint32(g.Gid), true, nil
}

// groupsOf are the GIDs of all groups that list the user. Lines without a
// valid GID give no group.
func (db *database) groupsOf(name string) ([]uint32, error) {
	found, err := db.groups(func(g user.Group) bool { return slices.Contains(g.List, name) })
	if err != nil {
		return nil, err
	}
	var gids []uint32
	for _, g := range found {
		if hasNumber(db.group, g.Name, 2, g.Gid) && inRange(g.Gid) {
			gids = append(gids, uint32(g.Gid))
		}
	}
	return gids, nil
}

func (db *database) groups(filter func(user.Group) bool) ([]user.Group, error) {
	data, err := db.file(groupPath, &db.group, &db.have.group)
	if err != nil {
		return nil, err
	}
	found, err := user.ParseGroupFilter(bytes.NewReader(data), filter)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w: %w", groupPath, err, errdefs.ErrInvalidArgument)
	}
	return found, nil
}

// hasNumber is true where the first line of that name has the number in that
// column. The library answers 0 for anything that is not a number; only for 0
// is it worth a look.
func hasNumber(data []byte, name string, column, number int) bool {
	if number != 0 {
		return true
	}
	for line := range bytes.Lines(data) {
		fields := strings.Split(string(bytes.TrimSpace(line)), ":")
		if fields[0] != name {
			continue
		}
		if len(fields) <= column {
			return false
		}
		_, err := strconv.Atoi(fields[column])
		return err == nil
	}
	return false
}

// inRange is true for IDs that the kernel has; the last one means "no ID".
func inRange(id int) bool { return id >= 0 && id < math.MaxUint32 }
