# The bounds of the rust pack: what may take how long and how much.

# Wall clock for fetching package lists and packages: some 190 MB.
FETCH_SECONDS_MAX=600
# Wall clock for compiling std once: one minute on two idle cores.
STD_SECONDS_MAX=1200
# Wall clock for one `cargo build` of an app.
BUILD_SECONDS_MAX=1800
# Compiled dependencies kept between builds; over this the cache starts afresh.
TARGET_CACHE_MEGABYTES_MAX=4096
# Lines of a Procfile, and of the compiler's output that are searched for a known cause.
PROCFILE_LINES_MAX=50
LOG_LINES_SEARCHED_MAX=20000
# Components of one app: more bins than this is not a web app.
COMPONENTS_MAX=50
