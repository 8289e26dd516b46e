package plan

func optimize(*Query, *builder) {}
