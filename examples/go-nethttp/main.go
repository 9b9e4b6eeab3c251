// A small guest book of HTTP: every route shows one thing a web app does.
package main

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

//go:embed templates
var embedded embed.FS

// Read before main, as many apps do: a later config:set must reach it too.
var greeting = os.Getenv("GREETING")

var started = time.Now()

func main() {
	index := template.Must(template.ParseFS(embedded, "templates/index.html"))

	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := index.Execute(w, map[string]any{"Greeting": greeting, "Path": r.URL.Path}); err != nil {
			log.Print(err)
		}
	})
	r.Get("/about", about)
	r.Get("/json", answerJSON)
	r.Get("/hello", hello)
	r.Get("/hello/{name}", hello)
	r.Post("/echo", echo)
	r.Get("/cookies", cookies)
	r.Get("/stream", stream)
	r.Get("/large", large)
	r.Post("/upload", upload)
	r.Get("/environment", environment)
	r.Get("/random", random)
	r.Get("/fetch", fetch)
	r.Get("/error", func(http.ResponseWriter, *http.Request) { panic("this route always panics") })
	r.Get("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r.Get("/memory", memory)
	r.Get("/crash", func(http.ResponseWriter, *http.Request) {
		log.Print("crashing as asked")
		os.Exit(1)
	})
	r.Handle("/static/*", http.StripPrefix("/static/", http.FileServer(http.Dir("static"))))

	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	log.Printf("listening on port %s", port)
	log.Fatal(http.ListenAndServe(":"+port, r))
}

// about renders a template that lies beside the program, not in it.
func about(w http.ResponseWriter, r *http.Request) {
	page, err := template.ParseFiles("templates/about.html")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, map[string]any{"Dyno": os.Getenv("DYNO")}); err != nil {
		log.Print(err)
	}
}

// hello greets /hello/{name} and /hello?name=.
func hello(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	if name == "" {
		name = r.URL.Query().Get("name")
	}
	if name == "" {
		name = "World"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Hello, %s!", name)
}

func answerJSON(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "host": r.Host, "remote": r.RemoteAddr,
		"query": r.URL.Query(), "header": r.Header,
	})
}

// echo sends the body back while it arrives.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	if _, err := io.Copy(w, r.Body); err != nil {
		log.Print(err)
	}
}

func cookies(w http.ResponseWriter, r *http.Request) {
	visits := 0
	if c, err := r.Cookie("visits"); err == nil {
		visits, _ = strconv.Atoi(c.Value)
	}
	visits++
	http.SetCookie(w, &http.Cookie{Name: "visits", Value: strconv.Itoa(visits), Path: "/", HttpOnly: true})
	http.SetCookie(w, &http.Cookie{Name: "last", Value: "here", Path: "/"})
	fmt.Fprintf(w, "visits: %d\n", visits)
}

// stream sends five lines, a tenth of a second apart.
func stream(w http.ResponseWriter, r *http.Request) {
	flusher, ok := w.(http.Flusher)
	if !ok {
		http.Error(w, "no streaming", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	for i := range 5 {
		fmt.Fprintf(w, "line %d\n", i+1)
		flusher.Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const largeBytesMax = 1 << 30

// large streams ?bytes= bytes (5 MB if not said).
func large(w http.ResponseWriter, r *http.Request) {
	left := 5 << 20
	if said := r.URL.Query().Get("bytes"); said != "" {
		n, err := strconv.Atoi(said)
		if err != nil || n < 0 || n > largeBytesMax {
			http.Error(w, "bytes must be a number up to 1 GiB", http.StatusBadRequest)
			return
		}
		left = n
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	block := bytes.Repeat([]byte("a"), 32<<10)
	for left > 0 {
		n, err := w.Write(block[:min(left, len(block))])
		if err != nil {
			return
		}
		left -= n
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "received %d bytes\n", n)
}

// memory fills ?mb= megabytes (64 if not said), checks them and lets them go.
func memory(w http.ResponseWriter, r *http.Request) {
	mb, err := strconv.Atoi(r.URL.Query().Get("mb"))
	if err != nil {
		mb = 64
	}
	var blocks [][]byte
	for i := range min(mb, 512) {
		blocks = append(blocks, bytes.Repeat([]byte{byte(i)}, 1<<20))
	}
	for i, block := range blocks {
		if bytes.Count(block, []byte{byte(i)}) != len(block) {
			http.Error(w, "memory was damaged", http.StatusInternalServerError)
			return
		}
	}
	fmt.Fprintf(w, "%d MB held\n", len(blocks))
}

// environment answers one variable: ?name=GREETING, or &when=start for what was read before main.
func environment(w http.ResponseWriter, r *http.Request) {
	value, ok := os.LookupEnv(r.URL.Query().Get("name"))
	if r.URL.Query().Get("when") == "start" {
		value, ok = greeting, greeting != ""
	}
	if !ok {
		http.Error(w, "not set", http.StatusNotFound)
		return
	}
	io.WriteString(w, value)
}

// random answers what must differ in every instance, and the time.
func random(w http.ResponseWriter, r *http.Request) {
	id := make([]byte, 16)
	rand.Read(id)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"uuid":    fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		"random":  mathrand.Float64(),
		"time":    time.Now().UTC().Format(time.RFC3339Nano),
		"started": started.UTC().Format(time.RFC3339Nano),
	})
}

// fetch gets ?url= over plain HTTP.
func fetch(w http.ResponseWriter, r *http.Request) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(r.URL.Query().Get("url"))
	if err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, os.ErrDeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		http.Error(w, err.Error(), status)
		return
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	fmt.Fprintf(w, "%s, %d bytes, error %v\n", response.Status, n, err)
}
