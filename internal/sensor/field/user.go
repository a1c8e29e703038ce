package field

// userFields are users and groups. Ids are known since the exec; names are
// looked up at the event, since the files that have them change.
func userFields() []Field {
	return []Field{
		unsigned("user.uid", Uint, AtExec, "Effective user id.", func(c *Context) (uint64, bool) { return uint64(c.Proc.UID), true }),
		userName("user.name", "Name of the effective user, as in the process's container; <NA> if there is no such user.", func(c *Context) string {
			return c.Table.User(c.Proc, c.Proc.UID).Name
		}),
		userName("user.homedir", "Home directory of the effective user.", func(c *Context) string {
			return c.Table.User(c.Proc, c.Proc.UID).Home
		}),
		userName("user.shell", "Login shell of the effective user.", func(c *Context) string {
			return c.Table.User(c.Proc, c.Proc.UID).Shell
		}),
		integer("user.loginuid", AtExec, "User id of the login from which the process descends (audit uid); -1 if it descends from no login.", func(c *Context) (int64, bool) {
			return int64(int32(c.Proc.LoginUID)), true
		}),
		userName("user.loginname", "Name of the user with the id user.loginuid; <NA> if there is no such user.", func(c *Context) string {
			return c.Table.User(c.Proc, c.Proc.LoginUID).Name
		}),
		unsigned("group.gid", Uint, AtExec, "Effective group id.", func(c *Context) (uint64, bool) { return uint64(c.Proc.GID), true }),
		userName("group.name", "Name of the effective group; <NA> if there is no such group.", func(c *Context) string {
			return c.Table.Group(c.Proc, c.Proc.GID).Name
		}),
	}
}

func userName(name, doc string, get func(*Context) string) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) { return get(c), true })
}
