// infermesh-s3: an S3-compatible object store for tests, in memory, on 127.0.0.1: gofakes3, which is behind 'rclone serve s3', with its check of
// signatures (AWS Signature Version 4). It can also fail: GET /-/MODE makes it so.
//
//	infermesh-s3 PORT ID SECRET BUCKET
//
// MODE: well; broken: 500; cut: half of each body, then the connection is closed; hang: nothing until the client leaves or the mode changes;
// objects: answers how many there are.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

type store struct {
	s3     http.Handler
	lock   sync.Mutex
	mode   string
	change chan struct{} // closed when the mode changes
}

func (s *store) setMode(mode string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.mode = mode
	close(s.change)
	s.change = make(chan struct{})
}

func (s *store) getMode() (string, chan struct{}) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.mode, s.change
}

// Half of what the store answers, with the length of all of it.
func (s *store) cut(w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	s.s3.ServeHTTP(whole, r)
	body := whole.Body.Bytes()
	conn, out, err := w.(http.Hijacker).Hijack()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(out, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n", whole.Code, len(body)+1)
	out.Write(body[:len(body)/2])
	out.Flush()
	conn.Close()
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mode, change := s.getMode()
	switch mode {
	case "broken":
		http.Error(w, "<Error><Code>InternalError</Code></Error>", http.StatusInternalServerError)
	case "cut":
		s.cut(w, r)
	case "hang":
		select {
		case <-change:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	default:
		s.s3.ServeHTTP(w, r)
	}
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: infermesh-s3 PORT ID SECRET BUCKET")
	}
	backend, bucket := s3mem.New(), os.Args[4]
	if err := backend.CreateBucket(context.Background(), bucket); err != nil {
		log.Fatal(err)
	}
	s := &store{
		s3:     gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{os.Args[2]: os.Args[3]})).Server(),
		change: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.HandleFunc("/-/", func(w http.ResponseWriter, r *http.Request) {
		mode := strings.TrimPrefix(r.URL.Path, "/-/")
		if mode != "objects" {
			s.setMode(mode)
			return
		}
		list, err := backend.ListBucket(r.Context(), bucket, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(w, len(list.Contents))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, mux))
}
