//! Whole builds: sources and buildpacks on disk in, slugs or messages out.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dyno_buildpacks::{
    BuildEvent, Cancellation, CompileError, CompileRequest, Compiled, Compiler, CompilerFolders,
    Step, limits,
};
use dyno_slug::{Reuse, SlugFile, SlugStore, World};

/// A minimal component that exports nothing and imports nothing.
const EMPTY_COMPONENT: &str = "(component)";

struct Bench {
    directory: tempfile::TempDir,
    compiler: Compiler,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let compiler = Compiler::new(CompilerFolders {
            work: data.join("work"),
            caches: data.join("caches"),
            toolchains: data.join("toolchains"),
            buildpacks: data.join("buildpacks"),
        })
        .unwrap()
        .dyno_executable(dyno());
        fs::create_dir(directory.path().join("app")).unwrap();
        Bench {
            directory,
            compiler,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn app(&self) -> PathBuf {
        self.path("app")
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A buildpack of our own whose compile is the given script; answers its directory.
    fn buildpack(&self, compile: &str) -> String {
        self.write("pack/bin/detect", "#!/bin/bash\necho Test\n");
        self.write("pack/bin/compile", format!("#!/bin/bash\n{compile}\n"));
        for script in ["detect", "compile"] {
            let path = self.path("pack/bin").join(script);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.path("pack").to_str().unwrap().to_owned()
    }

    fn request(&self, buildpacks: &[&str]) -> CompileRequest {
        let mut request = CompileRequest::new(self.app(), self.path("app.slug"));
        request.buildpacks = buildpacks.iter().map(|name| (*name).to_owned()).collect();
        request
    }

    fn compile(&self, request: &CompileRequest) -> (Result<Compiled, CompileError>, Vec<String>) {
        compile(&self.compiler, request)
    }

    fn error(&self, buildpacks: &[&str]) -> CompileError {
        self.compile(&self.request(buildpacks)).0.unwrap_err()
    }

    /// The app's files as the slug holds them.
    fn slug_files(&self) -> Vec<String> {
        let store = SlugStore::open(self.path("store")).unwrap();
        let slug = store.import(self.path("app.slug")).unwrap();
        let tree = slug.layer_tree(&slug.manifest().layers[0]);
        let mut files = Vec::new();
        list(&tree, &tree, &mut files);
        files.sort();
        files
    }
}

fn compile(
    compiler: &Compiler,
    request: &CompileRequest,
) -> (Result<Compiled, CompileError>, Vec<String>) {
    let mut lines = Vec::new();
    let result = compiler.compile(request, &Cancellation::new(), &mut |event| {
        if let BuildEvent::Line(line) = event {
            lines.push(line.to_owned());
        }
    });
    (result, lines)
}

fn list(root: &Path, directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// The example program, which cargo builds with these tests, answers what buildpacks ask.
fn dyno() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().unwrap().parent().unwrap();
    let dyno = profile.join("examples/component");
    assert!(dyno.exists(), "{} is not built", dyno.display());
    dyno
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// `process-types.toml` with a web process of the given component.
fn process_types(component: &str, more: &str) -> String {
    format!(
        "mkdir -p .dyno; cat > .dyno/process-types.toml <<'END'\nformat = 1\n[buildpack]\nname = \"test\"\nversion = \"1\"\n[process.web]\ncomponent = \"{component}\"\nworld = \"wasi:http/proxy@0.2\"\n{more}\nEND\n"
    )
}

#[test]
fn the_static_example_becomes_a_slug_twice_the_same() {
    let bench = Bench::new();
    let mut request = bench.request(&[]);
    request.source = repository().join("examples/static-site");
    let (first, lines) = bench.compile(&request);
    let first = first.unwrap();
    assert_eq!(first.buildpack, "Static");
    assert_eq!(lines[0], "-----> Static app detected");
    assert!(
        lines.contains(&"       Default types for buildpack -> web".to_owned()),
        "{lines:#?}"
    );
    let web = &first.manifest.process_types["web"];
    assert_eq!((web.world, web.component), (World::Static, None));
    let settings = web.static_site.as_ref().unwrap();
    assert_eq!(settings["root"], "public");
    assert_eq!(settings["redirects"][0]["status"], 302);
    let files = bench.slug_files();
    for file in [
        "public/index.html",
        "public/index.html.br",
        "public/index.html.gz",
    ] {
        assert!(files.contains(&file.to_owned()), "{files:?}");
    }
    assert!(
        !files.iter().any(|file| file.contains("process-types")),
        "{files:?}"
    );
    fs::remove_file(bench.path("app.slug")).unwrap();
    let second = bench.compile(&request).0.unwrap();
    assert_eq!(second.digest, first.digest, "equal input made another slug");
    assert!(!second.is_cached);
}

#[test]
fn the_c_example_becomes_a_component_in_a_slug() {
    let bench = Bench::new();
    let mut request = bench.request(&[]);
    request.source = repository().join("examples/c-hello");
    let (compiled, lines) = bench.compile(&request);
    let compiled = compiled.unwrap();
    assert_eq!(lines[0], "-----> WebAssembly app detected");
    let web = &compiled.manifest.process_types["web"];
    assert_eq!(web.command, "hello.wasm");
    assert_eq!(web.world, World::HttpProxy);
    let slug = SlugFile::open(&compiled.slug).unwrap();
    let component = slug.component(&web.component.unwrap()).unwrap();
    let kind = dyno_buildpacks::component::kind(&component).unwrap();
    assert_eq!(kind.world(), Some(World::HttpProxy.as_str()));
}

#[test]
fn a_handlers_line_says_whether_its_instances_are_used_again() {
    let bench = Bench::new();
    let mut request = bench.request(&[]);
    request.source = bench.path("app");
    let hello = repository().join("examples/c-hello/hello.wasm");
    bench.write("app/hello.wasm", fs::read(hello).unwrap());
    bench.write("app/Procfile", "web: hello.wasm --reuse=request\n");
    let compiled = bench.compile(&request).0.unwrap();
    assert_eq!(compiled.manifest.process_types["web"].reuse, Reuse::Request);
    bench.write("app/Procfile", "web: hello.wasm --fast\n");
    let (refused, lines) = bench.compile(&request);
    assert!(refused.is_err());
    assert!(
        lines.iter().any(|line| line.contains("says --fast")),
        "{lines:#?}"
    );
}

#[test]
fn what_slugignore_names_is_in_no_slug_and_not_seen_by_the_build() {
    let bench = Bench::new();
    bench.write("app/index.html", "home");
    bench.write("app/notes/draft.txt", "x");
    bench.write("app/big.log", "x");
    bench.write("app/.git/config", "x");
    bench.write("app/.slugignore", "*.log\n/notes\n");
    bench.compile(&bench.request(&[])).0.unwrap();
    assert_eq!(bench.slug_files(), [".slugignore", "index.html"]);
}

#[test]
fn buildpacks_are_asked_in_order() {
    for (files, expected) in [
        (&["requirements.txt", "package.json"][..], "python"),
        (&["package.json", "index.html"], "nodejs"),
        (&["package.json", "public/index.html"], "nodejs"),
        (&["package.json", "static.json"], "static"),
        (&["go.mod", "index.html"], "go"),
        (&["Cargo.toml", "index.html"], "rust"),
        (&["_site/index.html"], "static"),
        (&["app.wasm"], "wasm"),
        (&["app.wasm", "index.html"], "static"),
        (&["app.wasm", "package.json"], "nodejs"),
    ] {
        let bench = Bench::new();
        for file in files {
            bench.write(&format!("app/{file}"), "{}");
        }
        let detected = bench
            .compiler
            .detect(&bench.app(), &Cancellation::new())
            .unwrap();
        assert_eq!(detected.buildpack.name(), expected, "{files:?}");
    }
    let bench = Bench::new();
    bench.write("app/package.json", "{}");
    bench.write("app/bin/app.wasm", "x");
    bench.write("app/Procfile", "web: bin/app.wasm --fast\n");
    let detected = bench
        .compiler
        .detect(&bench.app(), &Cancellation::new())
        .unwrap();
    assert_eq!(
        detected.buildpack.name(),
        "wasm",
        "the Procfile names its file"
    );
}

#[test]
fn an_app_that_no_buildpack_takes_is_told_what_they_look_for() {
    let bench = Bench::new();
    bench.write("app/notes.txt", "x");
    let error = bench.error(&[]).to_string();
    assert!(
        error.starts_with(
            "no buildpack recognises this app\n  looked at: 1 files\n  hint: a Python app has a requirements.txt"
        ),
        "{error}"
    );
}

#[test]
fn a_buildpack_that_does_not_exist_or_does_not_fit_is_named() {
    let bench = Bench::new();
    assert_eq!(
        bench.error(&["cobol"]).to_string(),
        "there is no buildpack \"cobol\"\n  hint: choose from wasm, python, nodejs, go, rust, static, or give a buildpack's directory with its absolute path"
    );
    let error = bench.error(&["heroku/python"]).to_string();
    assert!(
        error.starts_with("the buildpack python does not take this app\n"),
        "{error}"
    );
}

#[test]
fn a_failed_compile_shows_its_output_and_keeps_the_old_slug() {
    let bench = Bench::new();
    bench.write("app.slug", "the old one");
    let pack = bench.buildpack("echo '-----> Building'; echo ' !     no such module' >&2; exit 7");
    let (result, lines) = bench.compile(&bench.request(&[&pack]));
    assert_eq!(lines, ["-----> Building", " !     no such module"]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "the Test buildpack could not compile this app (exit status 7)\n  hint: its output above says why"
    );
    assert_eq!(fs::read(bench.path("app.slug")).unwrap(), b"the old one");
    let left = fs::read_dir(bench.path("data/work")).unwrap().count();
    assert_eq!(left, 0, "the build's folder is still there");
}

#[test]
fn a_compile_that_hangs_is_killed_at_its_time_limit() {
    let bench = Bench::new();
    let pack = bench.buildpack("echo started; sleep 3000 & sleep 3000");
    let mut request = bench.request(&[&pack]);
    request.timeout = Duration::from_secs(2);
    let started = Instant::now();
    let (result, lines) = bench.compile(&request);
    assert_eq!(lines, ["started"]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "bin/compile of the Test buildpack was stopped after 2 s\n  hint: its last line of output shows where it was"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_build_can_be_cancelled_while_it_compiles() {
    let bench = Bench::new();
    let pack = bench.buildpack("echo started; sleep 3000");
    let cancellation = Cancellation::new();
    let result = bench
        .compiler
        .compile(&bench.request(&[&pack]), &cancellation, &mut |event| {
            if let BuildEvent::Line(_) = event {
                cancellation.cancel();
            }
        });
    assert!(matches!(result, Err(CompileError::Cancelled)), "{result:?}");
}

#[test]
fn a_flood_of_output_is_cut_and_the_build_goes_on() {
    let bench = Bench::new();
    bench.write("app/index.html", "home");
    let flood = limits::OUTPUT_BYTES_MAX * 2;
    let pack = bench.buildpack(&format!(
        "yes hello | head -c {flood}; mkdir -p .dyno; printf 'format = 1\\n[buildpack]\\nname = \"t\"\\nversion = \"1\"\\n[process.web]\\nworld = \"static\"\\n' > .dyno/process-types.toml"
    ));
    let (result, lines) = bench.compile(&bench.request(&[&pack]));
    result.unwrap();
    let total: usize = lines.iter().map(String::len).sum();
    assert!(total < limits::OUTPUT_BYTES_MAX + 10_000, "{total}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the rest is not shown")),
        "nobody was told"
    );
}

#[test]
fn a_procfile_line_without_a_component_is_an_error_with_its_number() {
    let bench = Bench::new();
    bench.write("app/hello.wasm", wat::parse_str(EMPTY_COMPONENT).unwrap());
    bench.write("app/index.html", "home");
    bench.write("app/Procfile", "# ours\nworker: bundle exec sidekiq\n");
    assert_eq!(
        bench.error(&["static"]).to_string(),
        "line 2 of the Procfile declares \"worker\", but the buildpack made no component for it\n  command: bundle exec sidekiq\n  it made: web\n  hint: correct the command, or remove the line"
    );
    bench.write("app/Procfile", format!("web: x\n{}: y\n", "w".repeat(31)));
    assert_eq!(
        bench.error(&["static"]).to_string(),
        "line 2 of the Procfile names a process type of 31 characters\n  hint: use at most 30"
    );
}

#[test]
fn an_import_that_dyno_does_not_provide_is_named() {
    let bench = Bench::new();
    let component = r#"(component
        (import "acme:printer/paper@1.0.0" (instance (export "feed" (func))))
        (instance $empty)
        (export "wasi:http/incoming-handler@0.2.12" (instance $empty)))"#;
    bench.write("app/app.wasm", wat::parse_str(component).unwrap());
    let pack = bench.buildpack(&process_types("app.wasm", ""));
    let error = bench.error(&[&pack]).to_string();
    assert!(
        error.starts_with(
            "the component of process type \"web\" (app.wasm) imports what dyno does not provide\n  imports: acme:printer/paper@1.0.0\n  hint: dyno provides WASI 0.2 and 0.3"
        ),
        "{error}"
    );
}

#[test]
fn a_component_that_is_not_what_it_is_said_to_be_is_refused() {
    let bench = Bench::new();
    bench.write("app/app.wasm", wat::parse_str(EMPTY_COMPONENT).unwrap());
    let pack = bench.buildpack(&process_types("app.wasm", ""));
    let error = bench.error(&[&pack]).to_string();
    assert!(
        error.starts_with("the component of process type \"web\" (app.wasm) is for component, but"),
        "{error}"
    );
    let core = r#"(module (func (export "_start")))"#;
    bench.write("app/app.wasm", wat::parse_str(core).unwrap());
    let error = bench.error(&[&pack]).to_string();
    assert!(
        error.contains("hint: make a component of it first"),
        "{error}"
    );
    let handler = "(component (instance $empty) (export \"wasi:http/incoming-handler@0.2.12\" (instance $empty)))";
    bench.write("app/app.wasm", wat::parse_str(handler).unwrap());
    let pack = bench.buildpack(&process_types("app.wasm", "boot = \"release\""));
    let error = bench.error(&[&pack]).to_string();
    assert!(error.contains("exports no boot"), "{error}");
    bench.write("app/app.wasm", "not wasm");
    let error = bench.error(&[&pack]).to_string();
    assert!(error.contains("(app.wasm) is not usable"), "{error}");
}

#[test]
fn a_buildpack_that_leaves_nothing_is_told_what_to_leave() {
    let bench = Bench::new();
    let pack = bench.buildpack("true");
    let error = bench.error(&[&pack]).to_string();
    assert!(
        error.starts_with("the buildpack left no .dyno/process-types.toml"),
        "{error}"
    );
}

#[test]
fn static_settings_with_a_root_that_is_not_there_are_refused() {
    let bench = Bench::new();
    bench.write("app/static.json", r#"{ "root": "dist" }"#);
    let error = bench.error(&[]).to_string();
    assert_eq!(
        error,
        "static.json: the root \"dist\" is no folder of this app\n  hint: build the site before it is deployed, or correct \"root\""
    );
    bench.write("app/static.json", r#"{ "basic_auth": true }"#);
    let error = bench.error(&[]).to_string();
    assert!(
        error.starts_with("static.json: \"basic_auth\" is not supported"),
        "{error}"
    );
}

#[test]
fn config_vars_reach_the_build_as_files_only() {
    let bench = Bench::new();
    let pack = bench.buildpack("echo \"<$(cat \"$3/SECRET\")>\"; env | grep -c hunter2; exit 1");
    let mut request = bench.request(&[&pack]);
    request
        .config_vars
        .insert("SECRET".to_owned(), "hunter2".to_owned());
    request
        .config_vars
        .insert("../../escape".to_owned(), "x".to_owned());
    let (_, lines) = bench.compile(&request);
    assert_eq!(lines, ["<hunter2>", "0"]);
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[test]
fn an_unchanged_source_gets_its_slug_back_without_a_build() {
    let mut bench = Bench::new();
    bench.compiler = bench.compiler.clone().slug_cache(bench.path("data/slugs"));
    bench.write("app/index.html", "home");
    let first = bench.compile(&bench.request(&[])).0.unwrap();
    fs::remove_file(bench.path("app.slug")).unwrap();
    let started = Instant::now();
    let mut steps = Vec::new();
    let request = bench.request(&[]);
    let second = bench
        .compiler
        .compile(&request, &Cancellation::new(), &mut |event| {
            if let BuildEvent::StepEnded(step, _) = event {
                steps.push(step);
            }
        })
        .unwrap();
    assert!(second.is_cached);
    assert!(!steps.contains(&Step::Compile), "{steps:?}");
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (second.digest, second.buildpack.as_str()),
        (first.digest, "Static")
    );
    assert_eq!(
        SlugFile::open(&second.slug).unwrap().digest(),
        &first.digest
    );

    bench.write("app/index.html", "changed");
    assert!(
        !bench.compile(&request).0.unwrap().is_cached,
        "the source changed"
    );
    let mut with_vars = request.clone();
    with_vars.config_vars.insert("A".to_owned(), "1".to_owned());
    assert!(
        !bench.compile(&with_vars).0.unwrap().is_cached,
        "a build may read config vars"
    );
    for entry in fs::read_dir(bench.path("data/slugs")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    let again = bench.compile(&request).0.unwrap();
    assert!(!again.is_cached, "a damaged slug was used");
}

#[test]
fn steps_come_in_order_with_their_times() {
    let bench = Bench::new();
    bench.write("app/index.html", "home");
    let mut steps = Vec::new();
    bench
        .compiler
        .compile(&bench.request(&[]), &Cancellation::new(), &mut |event| {
            if let BuildEvent::StepEnded(step, time) = event {
                assert!(time > Duration::ZERO);
                steps.push(step);
            }
        })
        .unwrap();
    assert_eq!(steps, [Step::Copy, Step::Detect, Step::Compile, Step::Slug]);
}
