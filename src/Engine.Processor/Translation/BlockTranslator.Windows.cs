namespace Hypervisor.Engine.Processor.Translation;

// Accesses within a window: the first looks the whole window up and keeps the distance to the host's memory, the others use it.
// Where the window is not in one page, or not in the buffer, the rest of the block runs in a second version without windows; it is
// also what goes on after an instruction was interpreted, so that what was kept is never older than a block.
internal sealed unsafe partial class BlockTranslator
{
    private readonly WindowAnalysis _windows = new();
    private readonly PendingJump[] _plainJumps = new PendingJump[WindowAnalysis.MaximumWindows];
    private int _plainJumpCount;
    private uint _openWindows;

    // The window whose distance the translation scratch holds from the instruction before, and does after this one.
    private int _heldBefore, _heldAfter;
    private int _number;
    private bool _plain;

    /// <summary>
    /// Emits what makes the instruction's access possible. Afterwards the operand is at the base plus the displacement plus
    /// <see cref="HostRegister.Translation"/>. False when the access is in no window.
    /// </summary>
    private bool TryUseWindow(int size, bool aligned, out int basis, out int displacement)
    {
        basis = HostRegister.None;
        displacement = 0;
        if (_plain || _windows[_number].Window == WindowAnalysis.None)
        {
            return false;
        }

        ref readonly var access = ref _windows[_number];
        ref readonly var window = ref _windows.Get(access.Window);
        int home = HostRegister.Home(access.Register);
        basis = home;
        displacement = access.Displacement;
        uint bit = 1u << access.Window;
        if ((_openWindows & bit) == 0)
        {
            if (home == HostRegister.None)
            {
                _code.LoadState(HostRegister.Address, StateLayout.Register(access.Register));
                home = HostRegister.Address;
            }

            EmitOpenWindow(home, (int)(window.Low - access.Relative + access.Displacement), (int)(window.High - window.Low), window.Write);
            _code.StoreState(StateLayout.Windows + (window.Place * sizeof(ulong)), HostRegister.Translation);
            _openWindows |= bit;
        }
        else if (_heldBefore != access.Window)
        {
            _code.LoadState(HostRegister.Translation, StateLayout.Windows + (window.Place * sizeof(ulong)));
        }

        if (!_wide)
        {
            // The register may have come round the end of the address space since the window was looked up.
            _code.Lea(HostRegister.Address, home, HostRegister.None, 0, displacement, wide: false);
            basis = HostRegister.Address;
            displacement = 0;
        }
        else if (basis == HostRegister.None)
        {
            _code.LoadState(HostRegister.Address, StateLayout.Register(access.Register));
            basis = HostRegister.Address;
        }

        if (aligned)
        {
            _code.Lea(HostRegister.Count, basis, displacement);
            _code.ZeroExtendByte(HostRegister.Count, HostRegister.Count);
            _code.LoadTableByte(HostRegister.Count, size == 32 ? StateLayout.Misaligned32 : StateLayout.Misaligned16, HostRegister.Count);
            byte* straight = _code.JumpIfCountZero();
            _code.Call(_slow);
            _code.Land(straight);
        }

        _heldAfter = access.Window;
        return true;
    }

    private void EmitOpenWindow(int basis, int low, int span, bool write)
    {
        _code.Lea(HostRegister.Address, basis, HostRegister.None, 0, low, _wide);
        EmitLookup(HostRegister.Address, span, write);
        byte* hit = _code.JumpIfCountZero();
        _plainJumps[_plainJumpCount++] = new PendingJump { Place = _code.JumpLater(), Instruction = _number };
        _code.Land(hit);
        EmitDistance();
    }

    private struct PendingJump
    {
        public byte* Place;
        public int Instruction;
    }
}
