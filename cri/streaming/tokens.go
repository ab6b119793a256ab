package streaming

import (
	"crypto/rand"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// tokenTTL is how long a URL may wait for its client.
	tokenTTL = time.Minute
	// maxTokens bounds unused URLs: more can only be an attack or a client gone mad.
	maxTokens = 1000
)

// tokens holds the requests whose URLs have not been used. Each can be taken once.
type tokens struct {
	mu  sync.Mutex
	all map[string]pending
}

type pending struct {
	req     any
	expires time.Time
}

func newTokens() *tokens { return &tokens{all: map[string]pending{}} }

// add keeps a request and returns its token.
func (t *tokens) add(req any) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if len(t.all) >= maxTokens {
		for k, p := range t.all {
			if now.After(p.expires) {
				delete(t.all, k)
			}
		}
	}
	if len(t.all) >= maxTokens {
		return "", status.Errorf(codes.ResourceExhausted,
			"%d streaming URLs wait for their clients already; use them or try again in %s", maxTokens, tokenTTL)
	}
	token := rand.Text()
	t.all[token] = pending{req: req, expires: now.Add(tokenTTL)}
	return token, nil
}

// take gives the request of a token and makes the token worthless.
func (t *tokens) take(token string) (any, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.all[token]
	delete(t.all, token)
	if !ok || time.Now().After(p.expires) {
		return nil, false
	}
	return p.req, true
}
