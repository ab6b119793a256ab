package imageservice

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// record is one containerd image record.
type record struct {
	target *target
	pinned bool
}

// index holds all images in memory. Its lock is held for map operations only.
type index struct {
	mu      sync.RWMutex
	records map[string]record // by record name
	images  map[string]*Image // by ID
	refs    map[string]string // every tag and digest reference, and name → ID
	pinned  Pins              // configured
	gone    func(id string)   // is told of IDs that no record has any more; nil for nobody
}

func newIndex(pinned Pins) *index {
	return &index{
		records: map[string]record{}, images: map[string]*Image{}, refs: map[string]string{}, pinned: pinned,
	}
}

// set adds or replaces records, and drops the names in gone.
func (x *index) set(changed map[string]record, gone []string) {
	tell, lost := x.change(changed, gone)
	if tell == nil {
		return
	}
	for _, id := range lost { // the lock is not held
		tell(id)
	}
}

// change is set without telling anybody; it returns who is to be told which images are gone.
func (x *index) change(changed map[string]record, gone []string) (tell func(string), lost []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	touched := map[string]bool{}
	drop := func(name string) {
		if old, ok := x.records[name]; ok {
			touched[old.target.id] = true
			delete(x.records, name)
		}
	}
	for _, name := range gone {
		drop(name)
	}
	for name, r := range changed {
		drop(name)
		x.records[name] = r
		touched[r.target.id] = true
	}
	for id := range touched {
		if x.rebuild(id); x.images[id] == nil {
			lost = append(lost, id)
		}
	}
	return x.gone, lost
}

// replace makes records the whole content.
func (x *index) replace(records map[string]record) {
	x.mu.RLock()
	var gone []string
	for name := range x.records {
		if _, ok := records[name]; !ok {
			gone = append(gone, name)
		}
	}
	x.mu.RUnlock()
	x.set(records, gone)
}

// rebuild makes the image with this ID anew from its records.
func (x *index) rebuild(id string) {
	if old := x.images[id]; old != nil {
		for _, refs := range [][]string{old.RepoTags, old.RepoDigests, old.Names} {
			for _, r := range refs {
				if x.refs[r] == id {
					delete(x.refs, r)
				}
			}
		}
		delete(x.images, id)
	}
	var names []string
	for name, r := range x.records {
		if r.target.id == id {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	sort.Strings(names)
	img := x.build(names)
	x.images[id] = img
	for _, refs := range [][]string{img.RepoTags, img.RepoDigests, img.Names} {
		for _, r := range refs {
			x.refs[r] = id
		}
	}
}

// build makes an Image of the records with these names, which share an ID.
func (x *index) build(names []string) *Image {
	t := x.records[names[0]].target
	img := &Image{
		ID: t.id, Names: names, Target: t.desc, Manifest: t.manifest, Layers: t.layers,
		Size: t.size(), Config: t.config, ConfigSize: t.configSize, ChainID: chainID(t.config), Annotations: t.notes,
	}
	for _, name := range names {
		r := x.records[name]
		repo, tag, dgst := splitName(name)
		if repo != "" && tag != "" && dgst == "" {
			img.RepoTags = append(img.RepoTags, name)
		}
		if repo != "" {
			// A tag stands for a digest too, whether or not there is a
			// record with that name.
			img.RepoDigests = append(img.RepoDigests, repo+"@"+r.target.desc.Digest.String())
		}
		img.Pinned = img.Pinned || r.pinned || x.pinned.match(name)
	}
	sort.Strings(img.RepoDigests)
	img.RepoDigests = slices.Compact(img.RepoDigests)
	for _, d := range img.RepoDigests {
		img.Pinned = img.Pinned || x.pinned.match(d)
	}
	img.Pinned = img.Pinned || x.pinned.match(img.ID)
	return img
}

// all returns the images sorted by ID.
func (x *index) all() []*Image {
	x.mu.RLock()
	out := make([]*Image, 0, len(x.images))
	for _, img := range x.images {
		out = append(out, img)
	}
	x.mu.RUnlock()
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// find answers Service.Status.
func (x *index) find(ref string) (*Image, error) {
	if ref == "" {
		return nil, fmt.Errorf("the image reference is empty: %w", errdefs.ErrInvalidArgument)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if img := x.images[ref]; img != nil {
		return img, nil
	}
	if id, ok := x.refs[ref]; ok {
		return x.images[id], nil
	}
	if isFullID(ref) {
		return nil, fmt.Errorf("image %q is not on this node: %w", ref, errdefs.ErrNotFound)
	}
	named, err := parseRef(ref)
	if err == nil {
		if id, ok := x.refs[named.String()]; ok {
			return x.images[id], nil
		}
	}
	if prefix, ok := idPrefix(ref); ok {
		return x.byPrefix(ref, prefix)
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("image %q is not on this node: %w", ref, errdefs.ErrNotFound)
}

func (x *index) byPrefix(ref, prefix string) (*Image, error) {
	var found []string
	for id := range x.images {
		if strings.HasPrefix(id, prefix) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("image %q is not on this node: %w", ref, errdefs.ErrNotFound)
	case 1:
		return x.images[found[0]], nil
	}
	sort.Strings(found)
	return nil, fmt.Errorf("image ID prefix %q is ambiguous, it fits %s: %w", ref, strings.Join(found, ", "), errdefs.ErrInvalidArgument)
}

// targetOf returns what is known of a target digest, or nil.
func (x *index) targetOf(digest string) *target {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.records {
		if r.target.desc.Digest.String() == digest {
			return r.target
		}
	}
	return nil
}
