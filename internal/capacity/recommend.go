package capacity

type Recommendation struct{}
