package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// database makes a containerd root with a database of some size, and returns its content.
func database(t *testing.T) (root string, content []byte) {
	t.Helper()
	root = t.TempDir()
	path := metadataFile(root)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true}) // as containerd does
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("v1"))
			if err != nil {
				return err
			}
			if b, err = b.CreateBucketIfNotExists(fmt.Appendf(nil, "object-%d", n)); err != nil {
				return err
			}
			for k := range 50 {
				if err := b.Put(fmt.Appendf(nil, "key-%d", k), bytes.Repeat([]byte("v"), 100)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return root, content
}

func TestVerify(t *testing.T) {
	root, whole := database(t)
	page := os.Getpagesize()
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		bad    bool
	}{
		"whole":           {func(b []byte) []byte { return b }, false},
		"empty":           {func([]byte) []byte { return nil }, false},
		"truncated":       {func(b []byte) []byte { return b[:len(b)/2] }, true},
		"only a page":     {func(b []byte) []byte { return b[:page] }, true},
		"a few bytes":     {func(b []byte) []byte { return b[:10] }, true},
		"zeroed":          {func(b []byte) []byte { return make([]byte, len(b)) }, true},
		"tail of zeros":   {func(b []byte) []byte { clear(b[4*page:]); return b }, true},
		"meta pages gone": {func(b []byte) []byte { clear(b[:2*page]); return b }, true},
		"something else":  {func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 10000) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path, quarantine := metadataFile(root), t.TempDir()
			if err := os.WriteFile(path, c.damage(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := verify(t.Context(), Options{Root: root, Quarantine: quarantine, Check: self(t)})
			if err != nil {
				t.Fatal(err)
			}
			if (len(found) > 0) != c.bad {
				t.Fatalf("found %v", found)
			}
			if !c.bad {
				return
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("still at its place: %v", err)
			}
			if _, err := os.Stat(found[0].Now); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVerifyRandomDamage overwrites random parts: the check must come back, whatever it
// says, also where it does not survive the damage.
func TestVerifyRandomDamage(t *testing.T) {
	root, whole := database(t)
	path := metadataFile(root)
	found := 0
	const rounds = 15
	for n := range rounds {
		random := rand.New(rand.NewPCG(uint64(n), 0))
		b := bytes.Clone(whole)
		at, size := random.IntN(len(b)), random.IntN(64)
		for i := at; i < min(len(b), at+size+1); i++ {
			b[i] = byte(random.Uint32())
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if inspect(t.Context(), self(t), path) != nil {
			found++
		}
	}
	t.Logf("%d of %d were noticed; the others are damage to values, or to free pages", found, rounds)
	if found == 0 {
		t.Error("none was noticed")
	}
}

// self is this test binary as the command that checks a database.
func self(t *testing.T) CheckCommand {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENGINE_TEST_CHECK", "1")
	return CheckCommand{exe}
}

func TestMain(m *testing.M) {
	if os.Getenv("ENGINE_TEST_CHECK") != "" {
		if err := CheckDatabase(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
