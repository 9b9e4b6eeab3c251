//! One-off dynos: pipes, terminals, exit codes, and the ones that nobody attends.

use crate::heroku::Heroku;
use crate::limits::CHANGE_MAX;
use crate::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_gets_input_gives_output_and_its_status() {
    let (heroku, platform, _app) = Heroku::with_shop().await;
    let said = heroku
        .run(["run", "-a", "shop", "--", "tool", "say", "two words"])
        .await
        .succeeded();
    assert_eq!(said.output, "two words");
    let status = heroku
        .run([
            "run",
            "--exit-code",
            "-a",
            "shop",
            "--",
            "tool",
            "exit",
            "7",
        ])
        .await;
    status.ended_with(7, &["Process exited with code 7"]);
    let good = heroku
        .run([
            "run",
            "--exit-code",
            "-a",
            "shop",
            "--",
            "tool",
            "say",
            "hi",
        ])
        .await
        .succeeded();
    assert_eq!(good.output, "hi");
    let trap = heroku
        .run(["run", "--exit-code", "-a", "shop", "--", "tool", "trap"])
        .await;
    trap.ended_with(134, &["wasm trap"]);
    let piped = heroku
        .run_with_input(
            "one\ntwo",
            [
                "run",
                "--exit-code",
                "--no-tty",
                "-a",
                "shop",
                "--",
                "tool",
                "cat",
            ],
        )
        .await
        .succeeded();
    assert_eq!(piped.output, "one\ntwo");
    let kind = heroku
        .run(["run", "-a", "shop", "--", "tool", "kind"])
        .await
        .succeeded();
    assert_eq!(kind.output, "pipe");
    // A process type's name runs that type's command.
    let console = heroku
        .run(["run", "-a", "shop", "--", "console", "say", "typed"])
        .await
        .succeeded();
    assert_eq!(console.output, "typed");
    let flood = heroku
        .shell_line("\"$HEROKU\" run -a shop -- tool flood | wc -c")
        .await
        .succeeded();
    assert_eq!(flood.output.trim(), "4194304");
    platform.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_echoes_erases_ends_and_interrupts() {
    let (heroku, platform, _app) = Heroku::with_shop().await;
    let mut terminal = heroku.on_terminal("run --exit-code -a shop -- tool cat");
    terminal.shows("up, run.").await;
    terminal.types("hello wor\u{7f}ld\r");
    terminal.shows("hello wold").await;
    terminal.types("\u{4}");
    assert_eq!(terminal.ends().await, Some(0));

    let mut terminal = heroku.on_terminal("run --exit-code -a shop -- tool cat");
    terminal.shows("up, run.").await;
    terminal.types("\u{3}");
    terminal.shows("Process exited with code").await;
    assert_eq!(terminal.ends().await, Some(130));

    let mut terminal = heroku.on_terminal("run -a shop -- tool kind");
    terminal.shows("terminal").await;
    assert_eq!(terminal.ends().await, Some(0));
    platform.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_offs_are_listed_stopped_and_logged() {
    let (heroku, platform, _app) = Heroku::with_shop().await;
    let detached = heroku
        .run(["run:detached", "-a", "shop", "--", "tool", "say", "alone"])
        .await;
    detached.ended_with(0, &["done, run.", "heroku logs --app shop --dyno run."]);
    let mut terminal = heroku.on_terminal("run -a shop -- tool cat");
    terminal.shows("up, run.").await;
    let listed = heroku.run(["ps", "-a", "shop"]).await;
    listed.ended_with(0, &["run: one-off processes (1)", "up", "tool cat"]);
    let stopped = heroku.run(["ps:stop", "-p", "run", "-a", "shop"]).await;
    stopped.ended_with(0, &["Stopping all run dynos on shop... done"]);
    assert_eq!(terminal.ends().await, Some(0));

    // Somebody closes the window.
    let mut terminal = heroku.on_terminal("run -a shop -- tool cat");
    terminal.shows("up, run.").await;
    drop(terminal);
    wait::until("the hang-up in the log", CHANGE_MAX, async || {
        let log = heroku
            .run(["logs", "-n", "1500", "-a", "shop"])
            .await
            .succeeded();
        let told = [
            "Client connection closed. Sending SIGHUP",
            "Process exited with status 129",
        ];
        let all = told.iter().all(|words| log.output.contains(words));
        if all { Ok(log.output) } else { Err(log.output) }
    })
    .await;
    let log = heroku.run(["logs", "-n", "1500", "-a", "shop"]).await;
    log.ended_with(
        0,
        &[
            "app[api]: Starting process with command `tool cat` by user owner@localhost",
            "Awaiting client",
            "State changed from up to complete",
            ": alone",
        ],
    );
    platform.interrupt().await.succeeded();
}
