// A worker that finishes its current job after SIGTERM. The handler is removed after
// the first signal, so a second SIGTERM kills the process.
console.log('started')
setTimeout(() => console.log('finished'), 3000)
process.once('SIGTERM', () => console.log('last job'))
