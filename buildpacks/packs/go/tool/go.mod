module dyno.invalid/packs/go

go 1.26
