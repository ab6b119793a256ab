package ocispec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
)

// UserSpec says which user a container is to run as: run_as_username, else
// run_as_user, else the image's user, else root. run_as_group replaces the
// primary group; without it a user of the request has the primary group that
// the image's passwd file gives it. The answer goes to users.Lookup; the
// image's files are not needed where users.NeedsFiles says so.
//
// Supplemental groups of the pod count for every container, as the CRI has it.
func UserSpec(config *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig, image Image) users.UserSpec {
	sc := config.GetLinux().GetSecurityContext()
	u := users.UserSpec{
		Image: image.Name,
		SupplementalGroups: slices.Concat(
			pod.GetLinux().GetSecurityContext().GetSupplementalGroups(),
			sc.GetSupplementalGroups(),
		),
		Strict: sc.GetSupplementalGroupsPolicy() == runtimeapi.SupplementalGroupsPolicy_Strict,
	}
	switch {
	case sc.GetRunAsUsername() != "":
		u.User, u.UserMustBeName = sc.GetRunAsUsername(), true
	case sc.GetRunAsUser() != nil:
		u.User = strconv.FormatInt(sc.GetRunAsUser().GetValue(), 10)
	default:
		u.User, u.Group, _ = strings.Cut(image.Config.User, ":")
	}
	if g := sc.GetRunAsGroup(); g != nil {
		u.Group = strconv.FormatInt(g.GetValue(), 10)
	}
	return u
}

// user sets the resolved identity.
func (b *builder) user() error {
	u := b.in.User
	if m := b.userns; m != nil && !(mapped(m.UIDs, u.UID) && mapped(m.GIDs, u.GID)) {
		return fmt.Errorf("user %d:%d is outside of the pod's user namespace; map it or use a smaller ID: %w", u.UID, u.GID, errdefs.ErrInvalidArgument)
	}
	b.s.Process.User = specs.User{UID: u.UID, GID: u.GID, AdditionalGids: slices.Clone(u.AdditionalGIDs)}
	groups := make([]int64, len(u.AdditionalGIDs))
	for i, g := range u.AdditionalGIDs {
		groups[i] = int64(g)
	}
	b.out.User = &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{
		Uid: int64(u.UID), Gid: int64(u.GID), SupplementalGroups: groups,
	}}
	return nil
}

// mapped is true where a container ID has a host ID.
func mapped(m []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(m, func(r specs.LinuxIDMapping) bool {
		return id >= r.ContainerID && uint64(id) < uint64(r.ContainerID)+uint64(r.Size)
	})
}
