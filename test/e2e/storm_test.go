package e2e

const stormArg = "storm"

func storm(args []string) int { return 0 }
