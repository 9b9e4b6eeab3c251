// A worker: counts down and ends, as a small job does. WORKER_TICKS says how far.
const ticks = Number(process.env.WORKER_TICKS || 5);
let left = ticks;

function tick() {
  console.log(`worker: ${left} to go`);
  left -= 1;
  if (left > 0) setTimeout(tick, 1000);
  else console.log("worker: done");
}

tick();
