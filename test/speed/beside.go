package main

import (
	"errors"
	"time"
)

// beside is what is attached now.
type beside struct {
	now    condition
	detach func() error // of the empty program
	sensor *pausable    // paused, unless it is its turn
}

// become attaches what belongs to a condition, unless it is.
func (b *beside) become(c condition) error {
	if b.now == c {
		return nil
	}
	if err := b.leave(); err != nil {
		return err
	}
	var err error
	switch c {
	case empty:
		b.detach, err = attachEmpty()
	case watched:
		err = b.sensor.resume()
	}
	b.now = c
	time.Sleep(20 * time.Millisecond) // the work has its pace
	return err
}

// leave detaches whatever is attached.
func (b *beside) leave() (err error) {
	switch b.now {
	case empty:
		err = b.detach()
	case watched:
		err = b.sensor.pause()
	}
	b.now = alone
	return err
}

// end ends the sensor, too.
func (b *beside) end() error {
	return errors.Join(b.leave(), b.sensor.stop())
}
