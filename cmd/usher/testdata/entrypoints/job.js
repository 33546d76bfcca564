// A worker: it finishes the job that it has begun. The handler is for one
// signal, so a second SIGTERM kills it.
console.log('started')
setTimeout(() => console.log('finished'), 3000)
process.once('SIGTERM', () => console.log('last job'))
