package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// reading is a server's count of its operations, with the server's own time: a
// busy machine delays the answer.
type reading struct{ at, ops float64 }

var (
	redisTime     = regexp.MustCompile(`server_time_usec:(\d+)`)
	redisCommands = regexp.MustCompile(`total_commands_processed:(\d+)`)
)

func redisReading(info string) (reading, error) {
	at, ops := redisTime.FindStringSubmatch(info), redisCommands.FindStringSubmatch(info)
	if at == nil || ops == nil {
		return reading{}, fmt.Errorf("no figures in %q", info)
	}
	return numbers(at[1][:len(at[1])-6]+"."+at[1][len(at[1])-6:], ops[1])
}

// readRedis asks for a server's INFO.
func readRedis(address string) (r reading, err error) {
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "INFO\r\n"); err != nil {
		return r, err
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n') // $LENGTH
	if err != nil {
		return r, err
	}
	n, err := strconv.Atoi(strings.Trim(head, "$\r\n"))
	if err != nil {
		return r, fmt.Errorf("redis says %q", head)
	}
	info := make([]byte, n)
	if _, err := io.ReadFull(in, info); err != nil {
		return r, err
	}
	return redisReading(string(info))
}

// nginxReading reads the page of stub_status with the time behind it.
func nginxReading(page string) (reading, error) {
	words := strings.Fields(page)
	if len(words) < 10 {
		return reading{}, fmt.Errorf("no figures in %q", page)
	}
	return numbers(words[len(words)-1], words[9])
}

func readNginx(url string) (reading, error) {
	r, err := http.Get(url)
	if err != nil {
		return reading{}, err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		return reading{}, err
	}
	return nginxReading(string(page) + r.Header.Get("X-Time"))
}

// transactions are counted by their numbers, of which pgbench's take one each.
const transactions = "select extract(epoch from clock_timestamp()), txid_snapshot_xmax(txid_current_snapshot())"

func postgresqlReading(row string) (reading, error) {
	at, ops, _ := strings.Cut(strings.TrimSpace(row), "|")
	return numbers(at, ops)
}

func numbers(at, ops string) (r reading, err error) {
	if r.at, err = strconv.ParseFloat(at, 64); err != nil {
		return r, err
	}
	r.ops, err = strconv.ParseFloat(ops, 64)
	return r, err
}
