using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Whp;

/// <summary>Calls of WinHvPlatform.dll that need no partition. All answer an HRESULT; negative is failure.</summary>
public static partial class WhpLibrary
{
    internal const string Platform = "WinHvPlatform.dll", Emulation = "WinHvEmulation.dll";

    /// <summary>Both libraries are on this system ("Windows Hypervisor Platform" is installed).</summary>
    public static bool IsPresent()
    {
        foreach (string name in (string[])[Platform, Emulation])
        {
            if (!NativeLibrary.TryLoad(name, typeof(WhpLibrary).Assembly, DllImportSearchPath.System32, out nint library))
            {
                return false;
            }

            NativeLibrary.Free(library);
        }

        return true;
    }

    /// <summary>Reads a capability of at most 64 bits; false where this version does not know it.</summary>
    public static unsafe bool TryGetCapability(WhpCapability code, out ulong value)
    {
        ulong buffer = 0;
        uint written;

        // SAFETY: the buffer's size goes along; shorter capabilities (BOOL) fill its low bytes.
        int result = WHvGetCapability(code, &buffer, sizeof(ulong), &written);
        value = buffer;
        return result >= 0;
    }

    [LibraryImport(Platform)]
    private static unsafe partial int WHvGetCapability(WhpCapability code, void* buffer, uint bytes, uint* written);
}
