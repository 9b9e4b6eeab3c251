// Shows the visitor's time, once a second.
const clock = document.querySelector("#clock");

function tick() {
  clock.value = new Date().toLocaleTimeString();
}

tick();
setInterval(tick, 1000);
