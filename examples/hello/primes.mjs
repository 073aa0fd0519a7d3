// A job: counts the primes below a number by the sieve of Eratosthenes and is done.
const limit = Number(process.argv[2] ?? 100_000);
const composite = new Uint8Array(limit);
let count = 0;
for (let n = 2; n < limit; n++) {
  if (composite[n] === 1) continue;
  count++;
  for (let multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
}
console.log(
  `${count} primes below ${limit}, counted by ${process.env.FLOTILLA_INSTANCE} on ${process.env.FLOTILLA_NODE}`,
);
