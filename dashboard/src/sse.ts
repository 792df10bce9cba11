// Read text/event-stream in pieces, cut anywhere. Of an event its data alone is wanted: what the
// service numbers and names stands in there too.

/** Return a function that takes the next piece, and calls back with the data of each whole event. */
export function eventReader(onData: (data: string) => void): (piece: string) => void {
  let rest = ''
  let data: string[] = []
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/) // a last \r may be half of \r\n
    rest = lines.pop()!
    for (const line of lines) {
      const field = /^data(?:: ?(.*))?$/.exec(line)
      if (field) data.push(field[1] ?? '')
      else if (!line && data.length) {
        onData(data.join('\n'))
        data = []
      }
    }
  }
}
