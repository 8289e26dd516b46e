package http1_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestTheDeadlineOfAHeadIsNotThatOfItsBody(t *testing.T) {
	const limit = 30 * time.Millisecond
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), err)
	}), func(h *http.Server) { h.ReadHeaderTimeout = limit })
	c := dial(t, addr)
	whole := post("hello")
	fmt.Fprint(c, whole[:len(whole)-3])
	<-time.After(3 * limit)
	fmt.Fprint(c, whole[len(whole)-3:])
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); string(b) != "hello<nil>" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestShutdownLetsOthersAskNoMoreWhilePlainOnesAreInWork(t *testing.T) {
	begun, end := make(chan bool), make(chan bool)
	s, addr := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(begun)
			<-end
		}
	}))
	other := dial(t, addr)
	fmt.Fprint(other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	br := bufio.NewReader(other)
	r, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	fmt.Fprint(dial(t, addr), post("hello"))
	<-begun
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	_ = other.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection of net/http: %v, want its end", err)
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
