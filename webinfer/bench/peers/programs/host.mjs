// Runs a program in Node by the protocol of host.py: one job after another.
import { createInterface } from 'node:readline';

const program = await import(`./${process.argv[2]}.mjs`);
const write = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let isStarted = false;
for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  if (!isStarted) {
    await program.start(wanted);
    isStarted = true;
    write('ready');
    continue;
  }
  const began = performance.now();
  const times_ms = [];
  const answers = [];
  for (const job of wanted.jobs) {
    const start = performance.now();
    answers.push(await program.answer(...job));
    times_ms.push(performance.now() - start);
  }
  write({ seconds: (performance.now() - began) / 1000, times_ms, answers });
}
await program.stop();
