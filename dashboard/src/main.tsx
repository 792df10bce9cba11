// The page starts here.
import { render } from 'preact'
import { Shell } from './shell'
import { show } from './theme'

show()
render(<Shell />, document.getElementById('app')!)
