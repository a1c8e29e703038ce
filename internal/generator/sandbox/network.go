package sandbox

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// loopback brings lo up and gives it addresses. In a network namespace with
// no other device nothing can leave the host.
func loopback(addresses []netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("flags of lo: %w", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for i, address := range addresses {
		// Alias labels are how ioctl adds a further address (netdevice(7)).
		alias, err := unix.NewIfreq(fmt.Sprintf("lo:%d", i))
		if err != nil {
			return err
		}
		host := address.As4()
		if err := alias.SetInet4Addr(host[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias); err != nil {
			return fmt.Errorf("address %v on lo: %w", address, err)
		}
		if err := alias.SetInet4Addr([]byte{255, 255, 255, 255}); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, alias); err != nil {
			return fmt.Errorf("netmask of %v on lo: %w", address, err)
		}
	}
	return nil
}
