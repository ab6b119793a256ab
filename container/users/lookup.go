package users

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/budget"
)

// maxRequestID is the largest UID or GID that a request or an image may name
// by number: what Kubernetes allows, and small enough that no conversion on
// the way to the kernel can turn it into 0.
const maxRequestID = math.MaxInt32

// Lookup resolves spec in root. A user or group name that the image does not
// know is errdefs.ErrNotFound; a number that is out of range or a file that
// cannot be parsed is errdefs.ErrInvalidArgument. A numeric user that
// /etc/passwd does not list is allowed. The error is ctx's when that ends
// meanwhile. root may be nil where NeedsFiles is false.
func Lookup(ctx context.Context, root FS, spec UserSpec) (Resolved, error) {
	db := database{ctx: ctx, root: root}
	r, err := db.resolveUser(spec)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolving user %q of image %q: %w", spec.User, spec.Image, err)
	}
	if spec.Group != "" {
		if r.GID, err = db.resolveGroup(spec.Group); err != nil {
			return Resolved{}, fmt.Errorf("resolving group %q of image %q: %w", spec.Group, spec.Image, err)
		}
	}
	if r.AdditionalGIDs, err = db.additional(r, spec); err != nil {
		return Resolved{}, fmt.Errorf("resolving the groups of user %q of image %q: %w", spec.User, spec.Image, err)
	}
	return r, nil
}

// resolveUser resolves UID and primary group.
func (db *database) resolveUser(spec UserSpec) (Resolved, error) {
	name := spec.User
	if name == "" && !spec.UserMustBeName {
		name = "0"
	}
	id, numeric, err := parseID(name)
	if spec.UserMustBeName {
		numeric, err = false, nil
	}
	if err != nil {
		return Resolved{}, err
	}
	if numeric && spec.Strict && spec.Group != "" && db.root == nil {
		return Resolved{UID: id}, nil
	}
	u, found, err := db.findUser(name, id, numeric)
	switch {
	case err != nil:
		return Resolved{}, err
	case found:
		return u, nil
	case numeric:
		return Resolved{UID: id}, nil
	}
	return Resolved{}, fmt.Errorf("the image has no such user in %s; use one that it has, or a numeric UID: %w", passwdPath, errdefs.ErrNotFound)
}

// resolveGroup resolves a group by name or number.
func (db *database) resolveGroup(name string) (uint32, error) {
	id, numeric, err := parseID(name)
	if err != nil || numeric {
		return id, err
	}
	id, found, err := db.findGroup(name)
	if err == nil && !found {
		err = fmt.Errorf("the image has no such group in %s; use one that it has, or a numeric GID: %w", groupPath, errdefs.ErrNotFound)
	}
	return id, err
}

// additional are the supplementary groups: the primary group, then those of
// the image unless the request is strict, then those of the request.
func (db *database) additional(r Resolved, spec UserSpec) ([]uint32, error) {
	gids, have := []uint32{r.GID}, map[uint32]bool{r.GID: true}
	add := func(g uint32) {
		if !have[g] {
			have[g] = true
			gids = append(gids, g)
		}
	}
	if !spec.Strict && r.Name != "" {
		member, err := db.groupsOf(r.Name)
		if err != nil {
			return nil, err
		}
		for _, g := range member {
			add(g)
		}
	}
	for _, g := range spec.SupplementalGroups {
		if g < 0 || g > maxRequestID {
			return nil, fmt.Errorf("supplemental group %d is not between 0 and %d: %w", g, maxRequestID, errdefs.ErrInvalidArgument)
		}
		add(uint32(g))
	}
	if len(gids) > budget.Groups {
		return nil, fmt.Errorf("%d groups are more than the %d that a process can have: %w", len(gids), budget.Groups, errdefs.ErrInvalidArgument)
	}
	return gids, nil
}

// parseID reads a decimal UID or GID. Anything that is not all digits, but for
// a sign in front, is a name.
func parseID(s string) (id uint32, numeric bool, err error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrSyntax {
			return 0, false, nil
		}
	}
	if err != nil || n < 0 || n > maxRequestID {
		return 0, true, fmt.Errorf("ID %s is not between 0 and %d: %w", s, maxRequestID, errdefs.ErrInvalidArgument)
	}
	return uint32(n), true, nil
}
